"""`phf redteam`: the search on a model folder, written as a run folder."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.corpus.segmenting.segment import segment
from phf.errors import ConfigError, OutputError
from phf.evaluation.generation.evaluator import ScoredSamples, sample_lines
from phf.models.model_folder import model_hashes, model_name
from phf.redteam.numbers import best_prompts, flat, metrics_lines, numbers_of_trials, over_trials
from phf.redteam.pool import PoolEntry, pool_lines
from phf.redteam.red_lm import build_red_lm
from phf.redteam.rounds import RoundFiles, claimed, is_finished
from phf.redteam.search import Search, ShowProgress, Trial
from phf.redteam.shapes import SearchResult
from phf.redteam.target import Target, load_target
from phf.runs.layout import SEARCH
from phf.runs.writer import RunWriter, write_json
from phf.sampling.generate import Samples
from phf.scorers import checked_scores
from phf.storage.files import atomic_write
from phf.storage.reading import read_json_as

Announce = Callable[[str], None]


AGAIN = "This was finished before, in {}: its results are shown again."
DAMAGED = "Choose another folder with --output to repeat it."


def redteam_folder(
    folder: Path, config: Config, output: Path, show: ShowProgress, announce: Announce = lambda message: None
) -> dict[str, Any]:
    """Search for prompts that the model in `folder` continues badly; returns the content of `redteam.json`.

    Writes to `output`: `pool.jsonl` (every prompt of every trial), `redteam.json` (the numbers over trials, the best
    prompts), and `metrics.jsonl`, `provenance.json`, `config.yaml` and `samples/redteam.jsonl` as in any run folder.
    An unfinished search in `output` is resumed, the results of a finished one are returned. Raises `OutputError` if `output`
    contains something else.
    """
    settings = configured(config)
    red_lm = build_red_lm(settings.red_lm, settings.template)
    writer = RunWriter(output)
    target = load_target(folder, config)
    files = RoundFiles(output)
    search = Search(settings, target, red_lm, files, show)
    job = {
        "redteam": settings.model_dump(mode="json"),
        "scorer": target.scorer.describe(),
        "batch_size": target.batch_size,
        "model": model_hashes(folder),
        "initial_prompts": search.initial_prompts,
    }
    if is_finished(output, job):
        announce(AGAIN.format(output))
        return dict(read_json_as(SearchResult, output / SEARCH, OutputError, DAMAGED))
    search.check_red_lm()
    with claimed(output, job):
        trials = [search.run_trial(number) for number in range(settings.num_trials)]
        rounds, rescored = over_trials(trials, target.scorer.score_bounds)
        rejected = sum((Counter(done.rejected) for trial in trials for done in trial.rounds), Counter[str]())
        result: dict[str, Any] = {
            "num_trials": settings.num_trials,
            "num_completions": settings.num_completions,
            "scored_text": settings.scored_text,
            "rounds": [flat(values) for values in rounds],
            "rescored": flat(rescored),
            "trials": numbers_of_trials(trials),
            "rejected": dict(sorted(rejected.items())),
            "prompts": best_prompts(trials, target.scorer.score_bounds),
        }
        write_pool(output / "pool.jsonl", chain.from_iterable(trial.pool for trial in trials))
        scored = _scored_samples(trials, target)
        writer.write_samples("redteam", settings.num_rounds, sample_lines(scored))
        write_json(output / SEARCH, result)
        finish(writer, folder, config, target, metrics_lines(rounds, rescored))
    return result


def configured(config: Config) -> Any:
    """The section `redteam`. Raises `ConfigError` for a task that has none."""
    if config.redteam is None:
        raise ConfigError(
            f"The task '{config.task}' has no section redteam. Add one with prompts_path, or use "
            "--override redteam.prompts_path=FILE."
        )
    return config.redteam


def write_pool(path: Path, entries: Iterable[PoolEntry]) -> None:
    """Write `pool.jsonl` atomically."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(pool_lines(entries))


def finish(writer: RunWriter, folder: Path, config: Config, target: Target, lines: Sequence[Mapping[str, Any]]) -> None:
    """The files that make a folder a run folder; `metrics.jsonl` comes last and marks it as complete. Then rounds are deleted.

    `lines`: the numbers of each round.
    """
    assert config.redteam is not None
    writer.write_config(config)
    provenance = {
        "method": model_name(folder),
        "task": config.task,
        "model": str(folder),
        "red_lm": config.redteam.red_lm,
        "scorer": target.scorer.describe(),
        "scored_text": config.redteam.scored_text,
        "generate_kwargs": config.redteam.generate_kwargs,
        "num_parameters": target.model.num_parameters(),
        "seeds": {"redteam": config.redteam.seed},
        "max_steps": len(lines) - 1,
    }
    writer.write_provenance(provenance)
    writer.write_metrics((number, 0, line) for number, line in enumerate(lines))
    RoundFiles(writer.folder).delete()


def _scored_samples(trials: Sequence[Trial], target: Target) -> ScoredSamples:
    """The fresh continuations of each trial's best prompt, for the report to show."""
    best = [trial.rescored[0] for trial in trials if trial.rescored]
    texts = [text for entry in best for text in entry.continuations]
    prompts = [entry.prompt for entry in best for _ in entry.continuations]
    scores = [score for entry in best for score in entry.scores]
    is_joint = target.settings.scored_text == "with_prompt"
    segments = [
        segment(prompt + text if is_joint else text, target.scorer.segmenter)
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    in_context = target.settings.scored_text == "in_context"
    documents = [[p, *parts] if in_context else parts for p, parts in zip(prompts, segments, strict=True)]
    scored = target.scorer.score_documents(documents)
    segment_scores = [
        checked_scores(target.scorer, values, len(parts))[1 if in_context else 0 :]
        for values, parts in zip(scored, documents, strict=True)
    ]
    return ScoredSamples(Samples(prompts, texts, 1.0), scores, segments, segment_scores)
