"""The command: from a study to its answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.report.export import check_can_export
from phf.report.html import check_can_render
from phf.runs.reader import Run
from phf.storage.files import only_job
from phf.study.agreement import refuse_changed_data
from phf.study.analyse import analyse
from phf.study.attacks import analyse_attacks
from phf.study.begin import begin
from phf.study.execute import Progress, execute
from phf.study.folder import StudyFolder
from phf.study.gap import analyse_gaps
from phf.study.held_out_scorers import build_held_out, score_held_out
from phf.study.jobs import is_finished, jobs_of
from phf.study.page import Answer, write_answer
from phf.study.plan import TRAIN, StudyRun, choose_baseline, expand
from phf.study.prepare import ask_red_lms, prepare, validate
from phf.study.results import results_of
from phf.study.reuse import with_runs_of
from phf.study.schema import Study
from phf.study.switch_answer import switch_facts


@dataclass(frozen=True)
class Callbacks:
    """What the command shows."""

    announce: Callable[[str], None]
    """One message."""
    progress: Callable[[str], None]
    """The current activity, often, before runs are started."""
    show: Callable[[Progress], None]
    """Where the runs are, several times a second."""


def run_study(
    name: str,
    study: Study,
    output_dir: Path,
    places: Callable[[Sequence[StudyRun]], list[dict[str, str]]],
    callbacks: Callbacks,
    *,
    launcher: Sequence[str] = (),
    overrides: Iterable[str] = (),
    runs_from: Sequence[Path] = (),
    export_to: Path | None = None,
) -> Answer:
    """Train what is not finished and write `study.json` and `report.html`, even if some runs failed; returns the answer.

    `places`: given the unfinished runs, the environment of each that may be in progress at the same time; see
    `phf.study.places`. `runs_from`: folders of studies, see `with_runs_of`; `export_to`: a folder for figures and tables, see
    `phf.report.export`. Raises an error before anything is trained if a run of the study would be refused.
    """
    check_can_render("phf study")
    check_can_export("phf study", export_to)
    runs, warnings = expand(study, overrides, output_dir)
    for warning in warnings:
        callbacks.announce(warning)
    folder = with_runs_of(StudyFolder(output_dir), runs, runs_from)
    if runs_from:
        callbacks.announce(f"Trained before, and used: {', '.join(folder.elsewhere) or 'no run'}")
    build_held_out(study.held_out_scorers, runs)  # a mistake in one should be found now, not after training
    with only_job(output_dir):
        jobs = jobs_of(runs)
        unfinished = [job for job in jobs if not is_finished(job, folder)]
        validate(unfinished, folder, callbacks.announce)
        ask_red_lms(unfinished)
        for notice in begin(folder, jobs):
            callbacks.announce(notice)
        failures: dict[str, str] = {}
        if unfinished:
            of_training = [job.run for job in unfinished if job.command == TRAIN]
            data = prepare(of_training, folder, callbacks.announce, callbacks.progress)
            refuse_changed_data(runs, folder, data)
            of_runs = list({job.run.name: job.run for job in unfinished}.values())
            failures = execute(jobs, folder, places(of_runs), launcher, callbacks.show, callbacks.announce)
        answer = read_answer(name, study, runs, folder, failures)
        write_answer(answer, folder, export_to)
    return answer


def read_answer(
    name: str, study: Study, runs: Sequence[StudyRun], folder: StudyFolder, failures: Mapping[str, str]
) -> Answer:
    """The answer of the run folders as they are; `failures`: why runs without a result have none.

    The samples are scored by the held-out scorers of the study, if that has not been done before.
    """
    results = results_of(runs, folder, failures)
    compared = [run for run in runs if run.is_compared]
    baseline = choose_baseline(study, runs)
    scorers = build_held_out(study.held_out_scorers, runs)
    of_compared = {run.name: results.runs[run.name] for run in compared if run.name in results.runs}
    held_out, not_scored = score_held_out(scorers, of_compared, folder)
    return Answer(
        name,
        analyse(compared, results.runs, baseline),
        analyse_attacks(compared, results.attacks, baseline),
        analyse_gaps(compared, results.runs, held_out, baseline),
        results.missing | {f"{name}, {scorer}": reason for (name, scorer), reason in not_scored.items()},
        len(runs),
        results.num_whole - len({name for name, _ in not_scored} - results.missing.keys()),
        _facts(compared, results.runs)
        | ({"held-out scorers": [scorer.description for scorer in held_out]} if held_out else {}),
    )


KEPT_FACTS = (
    "num_parameters",
    "precision",
    "evaluation_scorer",
    "hardware",
    "versions",
    "phf_version",
    "python",
    "git_commit",
)
"""What of the provenance of runs is on the page: one value, or all where they differ."""


def _facts(runs: Sequence[StudyRun], results: Mapping[str, Run]) -> dict[str, Any]:
    """What all runs have in common, from the study and the provenance of those that have a result."""
    facts: dict[str, Any] = {
        "tasks": ", ".join(dict.fromkeys(run.arm.task for run in runs)),
        "methods": ", ".join(dict.fromkeys(run.arm.name for run in runs)),
        "seeds": ", ".join(str(seed) for seed in dict.fromkeys(run.seed for run in runs)),
        "tokens of each run": ", ".join(
            f"{tokens:,.0f}" for tokens in dict.fromkeys(run.config.training.num_tokens or 0 for run in runs)
        ),
    }
    facts |= switch_facts([run.arm for run in runs])
    for key in KEPT_FACTS:
        known = (run.precision if key == "precision" else run.provenance.get(key) for run in results.values())
        values = [value for value in known if value is not None]
        distinct = [value for index, value in enumerate(values) if value not in values[:index]]
        if distinct:
            facts[key.replace("_", " ")] = distinct[0] if len(distinct) == 1 else distinct
    return facts
