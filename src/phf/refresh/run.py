"""`phf refresh`: the rounds, when they end, and the folder in which all of it is kept.

job.json, start.yaml         what the refresh was begun with, and the configuration of its run
rounds/NN/                   of each round: samples, their scores, the data, the run folder, the evaluation; 00 is the start
model/                       the result: the last model within the bound on KL
refresh.json, report.html    the answer, as numbers and as a page
config.yaml, metrics.jsonl, provenance.json, samples/   as in any run folder, the round in place of the step
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from phf.config import Config, dump_config, method_label
from phf.config.differences import differences
from phf.config.meaning import configuration_differences
from phf.errors import ConfigError, OutputError
from phf.feedback import threshold_of
from phf.models.model_folder import model_hashes
from phf.refresh.answer import Answer, stopped_because, write_answer
from phf.refresh.record import ROUND, RoundRecord
from phf.refresh.rounds import (
    Callbacks,
    Job,
    check_can_run,
    check_own_data,
    finished_round,
    measured_start,
    tokens_per_step,
)
from phf.refresh.settings import RefreshSettings
from phf.refresh.start import Start, chosen_scenario, open_run
from phf.report.export import check_can_export
from phf.report.html import check_can_render
from phf.runs.layout import MODEL, SAMPLES
from phf.runs.writer import RunWriter
from phf.scorers import build_scorer
from phf.storage.files import LOCK, is_unused, only_job, write_json_atomic, write_text_atomic, writing
from phf.storage.reading import read_json_as, read_json_lines_as
from phf.storage.shapes import Sample
from phf.text import counted
from phf.training.sources import describe_sources

JOB, START = "job.json", "start.yaml"
COMMAND = "phf refresh"


def refresh_run(
    run: Path,
    output: Path,
    settings: RefreshSettings,
    callbacks: Callbacks,
    overrides: Sequence[str] = (),
    export_to: Path | None = None,
) -> Answer:
    """Make the rounds that are missing in `output`, and write the answer; returns it.

    A refresh that was interrupted, anywhere, continues as if it had not been. `export_to`: a folder for figures and tables,
    see `phf.report.export`. Raises an error before anything is sampled for a
    run that cannot be refreshed, and `OutputError` for a folder with something else in it.
    """
    check_can_render(COMMAND)
    check_can_export(COMMAND, export_to)
    settings.check()
    refuse_others(output)
    callbacks = replace(callbacks, announce=_once(callbacks.announce))
    start = open_run(run, overrides, callbacks.announce)
    section = chosen_scenario(start.config, settings.scenario)
    with claimed(output, job_of(start, settings), start.config):
        step = tokens_per_step(start, settings, output)
        check_enough(section, settings, step)
        job = Job(start, settings, section.name, output, step, callbacks)
        if not (job.folder(0) / ROUND).is_file():
            check_can_run(job)
            check_own_data(job, longest_sample(section))
        records = [measured_start(job)]
        stopped = None
        while stopped is None and len(records) <= settings.rounds:
            records.append(finished_round(job, len(records), records[-1]))
            stopped = stopped_because(records[-1], settings)
        answer = Answer(start.name, str(start.run_dir), job.scenario, settings, records, stopped, output / MODEL)
        keep(job, answer)
        write_answer(answer, output, export_to)
    return answer


def longest_sample(scenario: Any) -> int:
    """Tokens that a sample has at most."""
    kwargs = scenario.generate_kwargs
    return int(kwargs.get("max_new_tokens") or kwargs.get("max_length") or 20)  # transformers' own default


def check_enough(scenario: Any, settings: RefreshSettings, step: int) -> None:
    """Raises `ConfigError` where not even the longest samples would make a step of training."""
    most = longest_sample(scenario)
    if settings.samples * most / settings.share < step:
        raise ConfigError(
            f"{counted(settings.samples, 'sample')} of at most {most:,} tokens with a share of {settings.share:g}: at most "
            f"{settings.samples * most / settings.share:,.0f} tokens, but a step of training has {step:,}. Draw more "
            "--samples, or lower training.effective_batch_size with --override."
        )


def keep(job: Job, answer: Answer) -> None:
    """Write the result as a run folder: its model, and the numbers and samples of the rounds."""
    output, start = job.output, job.start
    target = output / MODEL
    if not target.is_dir() or model_hashes(target) != model_hashes(job.model(answer.result)):
        partial = output / f".{MODEL}.partial"
        with writing(target):
            for old in (partial, target):
                shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(job.model(answer.result), partial)
            partial.rename(target)
    writer = RunWriter(output)
    settings = job.settings
    # runs that differ in the seed alone are taken together by this name
    how = f"refreshed: {settings.rounds} x {settings.samples} samples, share {settings.share:g}"
    method = f"{method_label(start.config.method or 'run')}, {how}"
    writer.write_config(start.config.model_copy(update={"method": method}))
    shutil.rmtree(output / SAMPLES, ignore_errors=True)
    shown = [number for number in range(len(answer.records)) if number <= answer.result]
    for number in shown:
        evaluation = job.folder(number) / "evaluation"
        for path in sorted((evaluation / SAMPLES).glob("*.jsonl")):
            advice = f"Delete {evaluation.parent} to repeat the round."
            lines = [line for _, line in read_json_lines_as(Sample, path, OutputError, advice)]
            writer.write_samples(path.stem, number, ({k: v for k, v in line.items() if k != "step"} for line in lines))
    facts = {
        "method": method,
        "task": start.config.task,
        "refreshed": str(start.run_dir),
        "settings": settings.to_json(),
        "dataset": describe_sources(start.sources, [start.config.dataset.scores_column]),
        "scorer": build_scorer(start.config.generation.scorer_config).describe(),
        "threshold": threshold_of(start.method),
        "seeds": {"refresh": settings.seed, "training": start.config.training.seed},
    }
    writer.write_provenance(facts)
    writer.write_metrics(
        [(number, _tokens(answer.records[: number + 1]), answer.records[number]["numbers"]) for number in shown]
    )


def _once(announce: Callable[[str], None]) -> Callable[[str], None]:
    """Announces each message the first time: every round begins with the same ones."""
    seen: set[str] = set()

    def announce_once(message: str) -> None:
        if message not in seen:
            seen.add(message)
            announce(message)

    return announce_once


def _tokens(records: Sequence[RoundRecord]) -> int:
    return sum(record["training"]["tokens"] for record in records if record["training"] is not None)


def job_of(start: Start, settings: RefreshSettings) -> dict[str, Any]:
    """What must be the same when a refresh is continued."""
    return {
        "settings": settings.to_json(),
        "model": model_hashes(start.model),
        "dataset": describe_sources(start.sources, [start.config.dataset.scores_column]),
        "segmenter": start.segmenter,
        "scorer": build_scorer(start.config.generation.scorer_config).describe(),
    }


def refuse_others(output: Path) -> None:
    """Raises `OutputError` for a folder with something other than a refresh, without leaving even a lock in it."""
    is_new = is_unused(output) or [path.name for path in output.iterdir() if path.name != LOCK] == [START]
    if not ((output / JOB).is_file() and (output / START).is_file()) and not is_new:
        raise OutputError(f"{output} is not empty and was not made by {COMMAND}. Choose another with --output.")


@contextmanager
def claimed(output: Path, job: Mapping[str, Any], config: Config) -> Iterator[None]:
    """Make `output` the folder of this refresh, and lock it while the block runs.

    Raises `OutputError` if it contains a refresh of something else, or with other settings, or is locked.
    """
    advice = "Choose another folder with --output, or delete that one to start over."
    with only_job(output):
        refuse_others(output)
        path, of_run, now = output / JOB, output / START, json.loads(json.dumps(job))
        if not path.is_file():
            write_text_atomic(of_run, dump_config(config))
            write_json_atomic(path, now)
        before = read_json_as(dict[str, Any], path, OutputError, advice)
        # an older version may have saved the configuration: what counts is what it means
        if what := "; ".join(filter(None, [differences(before, now), configuration_differences(of_run, config)])):
            raise OutputError(
                f"{output} contains a refresh of another model or with other settings: {what} (that one's -> this one's). "
                f"{advice}"
            )
        for partial in output.rglob(".*.partial"):  # of a refresh that was killed
            if partial.is_file():
                partial.unlink(missing_ok=True)
        yield
