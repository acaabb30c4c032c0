"""Replaying a saved pool against another model: prompts from earlier searches as a regression suite."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from phf.config import Config
from phf.errors import CorpusError, OutputError
from phf.models.model_folder import model_hashes
from phf.redteam.folder import AGAIN, DAMAGED, Announce, configured, finish, write_pool
from phf.redteam.numbers import flat
from phf.redteam.pool import PoolEntry, read_pool
from phf.redteam.rounds import Round, RoundFiles, claimed, is_finished
from phf.redteam.shapes import ReplayResult
from phf.redteam.target import Target, load_target
from phf.runs.reader import read_provenance
from phf.runs.writer import RunWriter, write_json
from phf.statistics import Interval, mean_estimate, mean_interval
from phf.statistics import difference as difference_of
from phf.storage.files import file_sha256
from phf.storage.hashing import hash64
from phf.storage.reading import read_json_as

REPLAY = "replay.json"
CHUNK = 20
"""Prompts that are sampled, and kept, at a time."""


@dataclass(frozen=True)
class Replayed:
    """One prompt: its scores then and now."""

    prompt: str
    then: list[float]
    now: list[float]
    num_unscored: int
    prompt_score: float | None

    def to_json(self) -> dict[str, Any]:
        """`then` and `now` are means, `now` and `difference` (now - then) with 95% intervals."""
        then = sum(self.then) / len(self.then) if self.then else None
        intervals = {"now": mean_interval(self.now), "difference": difference(self.then, self.now)}
        own = {"prompt_score": self.prompt_score, "num_unscored": self.num_unscored}
        return {"prompt": self.prompt, "then": then, **flat(intervals), **own}


def replay_folder(
    folder: Path,
    config: Config,
    pool_path: Path,
    output: Path,
    show: Callable[[int, int], None],
    announce: Announce = lambda message: None,
) -> dict[str, Any]:
    """Continue every prompt of a saved pool with the model in `folder`; returns the content of `replay.json`.

    `overall`: mean over prompts of the paired differences (now - then), positive if this model is worse, with a 95%
    interval over prompts; `prompts`: each prompt, worst regression first. Prompts that only one side has scores
    for are counted in `num_left_out`; `notes` list settings in which the pool was sampled or scored differently.
    `show(prompts done, prompts)` is called from time to time.
    """
    settings = configured(config)
    before = _by_prompt(read_pool(pool_path))
    if not any(before.values()):
        raise CorpusError(f"{pool_path}: none of its prompts has a score, so there is nothing to compare with.")
    writer = RunWriter(output)
    target = load_target(folder, config)
    prompts = list(before)
    for number, prompt in enumerate(prompts, start=1):
        if (problem := target.problem(prompt)) is not None:
            raise CorpusError(
                f"{pool_path}: prompt {number} is {problem} for this model, whose prompts may have "
                f"{target.max_prompt_tokens} tokens. Remove its line, or change redteam.generate_kwargs."
            )
    job = {
        "replay": {"pool": file_sha256(pool_path), "redteam": settings.model_dump(mode="json")},
        "scorer": target.scorer.describe(),
        "batch_size": target.batch_size,
        "model": model_hashes(folder),
    }
    if is_finished(output, job):
        announce(AGAIN.format(output))
        kept = read_json_as(ReplayResult, output / REPLAY, OutputError, DAMAGED)
        return {key: value for key, value in kept.items() if key != "pool"}
    with claimed(output, job):
        files = RoundFiles(output)
        entries: list[PoolEntry] = []
        for start in range(0, len(prompts), CHUNK):
            show(start, len(prompts))
            seed = hash64("redteam", "replay", settings.seed, start) >> 1
            work = partial(target.sample, prompts[start : start + CHUNK], trial=0, round_number=0, seed=seed)
            entries += files.done_or(f"replay-{start:06d}", lambda work=work: Round(work())).entries  # type: ignore[misc]
        result = compare(before, entries) | {"notes": mismatches(pool_path, target)}
        write_pool(output / "pool.jsonl", entries)
        write_json(output / REPLAY, {"pool": str(pool_path), **result})
        numbers = {f"replay/{key}": value for key, value in result.items() if key not in ("prompts", "notes")}
        finish(writer, folder, config, target, [numbers])
    return result


def compare(before: dict[str, list[float]], now: Sequence[PoolEntry]) -> dict[str, Any]:
    """The numbers of a replay. `before`: prompt -> its scores in the saved pool."""
    replayed = [
        Replayed(
            entry.prompt,
            before[entry.prompt],
            [score for score in entry.scores if score is not None],
            entry.num_unscored,
            entry.prompt_score,
        )
        for entry in now
    ]
    both = [item for item in replayed if item.then and item.now]
    differences = [float(np.mean(item.now) - np.mean(item.then)) for item in both]
    rows = [item.to_json() for item in both]
    rows.sort(key=lambda row: -row["difference"])
    means = {
        "then": float(np.mean([row["then"] for row in rows])) if rows else None,
        "now": float(np.mean([row["now"] for row in rows])) if rows else None,
    }
    return {
        **means,
        **flat({"overall": mean_interval(differences)}),
        "num_prompts": len(rows),
        "num_left_out": len(replayed) - len(both),
        "num_unscored": sum(item.num_unscored for item in replayed),
        "num_worse": sum((row["difference_low"] or 0) > 0 for row in rows),
        "num_better": sum((row["difference_high"] or 0) < 0 for row in rows),
        "prompts": rows,
    }


def is_worse(numbers: dict[str, Any], fail_above: float) -> bool:
    """Whether the model is worse than the earlier one by more than `fail_above`: the whole interval of `overall` is above it.

    With `fail_above` 0, an equally good model fails 2.5 times in 100. Nothing to compare is a failure too.
    """
    low = numbers["overall_low"]
    return low is None or low > fail_above


def difference(then: Sequence[float], now: Sequence[float]) -> Interval:
    """Mean now - mean then, with the 95% interval of two independent samples; NaN bounds for samples of one."""
    return difference_of(mean_estimate(np.array(then)), mean_estimate(np.array(now))).interval()


def mismatches(pool_path: Path, target: Target) -> list[str]:
    """Differences from the settings of the pool, according to the provenance next to it; nothing without one."""
    then = read_provenance(pool_path.parent)
    now = {
        "scorer": target.scorer.describe(),
        "scored_text": target.settings.scored_text,
        "generate_kwargs": target.settings.generate_kwargs,
    }
    return [
        f"The pool was made with {key} {then[key]!r}, this replay uses {value!r}: part of any difference is due to that."
        for key, value in json.loads(json.dumps(now)).items()
        if key in then and then[key] != value
    ]


def _by_prompt(entries: Sequence[PoolEntry]) -> dict[str, list[float]]:
    """Prompt -> its scores; the same prompt in several trials counts as one."""
    scores: dict[str, list[float]] = {}
    for entry in entries:
        scores.setdefault(entry.prompt, []).extend(score for score in entry.scores if score is not None)
    return scores
