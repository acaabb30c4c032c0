"""The numbers of a search: of each trial after each round, and over trials with their intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from phf.redteam.pool import PoolEntry, best_entries
from phf.redteam.search import Trial
from phf.runs.writer import finite_or_none
from phf.statistics import UNBOUNDED, UNKNOWN, Interval, mean_interval, student_interval

OVER_TRIALS = (
    "best",
    "best_fresh",
    "best_10",
    "best_100",
    "pool_mean",
    "round_best",
    "round_mean",
    "round_prompt_score",
)
"""Keys that are averaged over trials, see `round_numbers`."""
TOTALS = ("num_prompts", "num_unscored", "num_rejected")
"""Keys that are summed over trials."""


GAIN = "rescored_gain"
"""A difference of scores, to which their bounds do not apply."""


def interval_over_trials(values: Sequence[float | None], bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """Mean with Student's 95% interval, which is valid for a few trials; NaN bounds for one trial.

    `bounds`: the lowest and the highest possible value.
    A trial without the number (None) makes the result NaN: the others alone would be a biased selection.
    """
    if any(value is None for value in values):
        return UNKNOWN
    return student_interval([value for value in values if value is not None], bounds)


def round_numbers(trial: Trial) -> list[dict[str, float | None]]:
    """One mapping per round, the initial one first.

    `best`, `best_10`, `best_100`, `pool_mean`: mean score of the best 1, 10, 100 and of all prompts of the pool so far
    (None while it has fewer); `best_fresh`: of the best prompt so far in samples that were not used to choose it;
    `round_best`, `round_mean`: of the prompts that are new in the round; `round_prompt_score`: mean score of those prompts
    themselves; and the counts in `TOTALS`, of the round. Prompts without a score of their
    continuations are left out.
    """
    pool: list[PoolEntry] = []
    rounds = []
    fresh = {entry.prompt: entry.mean for entry in (*trial.rescored, *trial.also_rescored)}
    for done, best in zip(trial.rounds, trial.best_after_rounds(), strict=True):
        pool += done.entries
        pool_means = _means(best_entries(pool, len(pool)))
        new_means = _means(best_entries(done.entries, len(done.entries)))
        own = [entry.prompt_score for entry in done.entries if entry.prompt_score is not None]
        rounds.append(
            {
                "best": _mean_of_first(pool_means, 1),
                "best_fresh": None if best is None else fresh.get(best.prompt),
                "best_10": _mean_of_first(pool_means, 10),
                "best_100": _mean_of_first(pool_means, 100),
                "pool_mean": _mean_of_first(pool_means, len(pool_means)),
                "round_best": _mean_of_first(new_means, 1),
                "round_mean": _mean_of_first(new_means, len(new_means)),
                "round_prompt_score": _mean_of_first(own, len(own)),
                "num_prompts": len(done.entries),
                "num_unscored": sum(entry.num_unscored for entry in done.entries),
                "num_rejected": sum(done.rejected.values()),
            }
        )
    return rounds


def rescored_numbers(trial: Trial) -> dict[str, float | None]:
    """Scores of the search's best prompts in samples that were not used to choose them.

    `rescored_best`: of the best prompt; `rescored_best_10`: mean of the best 10 (None if fewer were sampled again);
    `rescored_initial_best`: of the best initial prompt; `rescored_gain`: the first minus the last of these.
    """
    fresh = {entry.prompt: entry.mean for entry in trial.rescored}
    ranked = [fresh[e.prompt] for e in best_entries(trial.pool, len(fresh)) if e.prompt in fresh]
    initial = [fresh[e.prompt] for e in best_entries((e for e in trial.pool if e.round == 0), 1)]
    best, first = (ranked or [None])[0], (initial or [None])[0]
    return {
        "rescored_best": best,
        "rescored_best_10": _mean_of_first(ranked, 10),
        "rescored_initial_best": first,
        GAIN: None if best is None or first is None else best - first,
    }


def over_trials(
    trials: Sequence[Trial], bounds: tuple[float, float] = UNBOUNDED
) -> tuple[list[dict[str, Any]], dict[str, Interval]]:
    """-> (for each round its `Interval`s and totals, the `Interval`s of the rescored numbers).

    `bounds`: the lowest and the highest possible score.
    """
    by_trial = [round_numbers(trial) for trial in trials]
    rounds: list[dict[str, Any]] = []
    for numbers in zip(*by_trial, strict=True):
        intervals = {key: interval_over_trials([values[key] for values in numbers], bounds) for key in OVER_TRIALS}
        rounds.append({**intervals, **{key: sum(int(values[key] or 0) for values in numbers) for key in TOTALS}})
    rescored = [rescored_numbers(trial) for trial in trials]
    return rounds, {
        key: interval_over_trials([values[key] for values in rescored], UNBOUNDED if key == GAIN else bounds)
        for key in rescored[0]
    }


def numbers_of_trials(trials: Sequence[Trial]) -> list[dict[str, list[float | None]]]:
    """For each trial, the numbers in `OVER_TRIALS` after each round, the initial one first."""
    by_trial = [round_numbers(trial) for trial in trials]
    return [{key: [values[key] for values in rounds] for key in OVER_TRIALS} for rounds in by_trial]


def metrics_lines(rounds: Sequence[Mapping[str, Any]], rescored: Mapping[str, Interval]) -> list[dict[str, Any]]:
    """A line of `metrics.jsonl` for each round: `redteam/best`, `redteam/best_low`, ...; None where not measured."""
    lines = []
    for number, values in enumerate(rounds):
        named = {**values, "initial_best": rounds[0]["best"]}
        if number == len(rounds) - 1:
            named |= rescored
        lines.append(flat(named, "redteam/"))
    return lines


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float | int | None]:
    """Intervals as three numbers each, `key`, `key_low` and `key_high`; values that are not finite as None."""
    numbers: dict[str, float | int | None] = {}
    for key, value in values.items():
        if isinstance(value, Interval):
            parts = {"": value.mean, "_low": value.low, "_high": value.high}
            numbers |= {f"{prefix}{key}{end}": part for end, part in finite_or_none(parts).items()}
        else:
            numbers[prefix + key] = value
    return numbers


def best_prompts(trials: Sequence[Trial], bounds: tuple[float, float] = UNBOUNDED) -> list[dict[str, Any]]:
    """The prompts that were sampled again, over all trials, highest new mean first, with both of their means.

    `bounds`: the lowest and the highest possible score.
    """
    rows = []
    for trial in trials:
        first = {entry.prompt: entry for entry in trial.pool}
        for fresh in trial.rescored:
            before = first[fresh.prompt]
            scored = [score for score in fresh.scores if score is not None]
            again = mean_interval(scored, bounds=bounds)
            rows.append(
                {
                    "prompt": fresh.prompt,
                    "trial": before.trial,
                    "round": before.round,
                    "mean": before.mean,
                    **flat({"rescored": again}),
                    "prompt_score": fresh.prompt_score,
                    "num_unscored": fresh.num_unscored,
                    "worst_continuation": next(iter(fresh.worst_continuations(1)), None),
                }
            )
    return sorted(rows, key=lambda row: -(row["rescored"] if row["rescored"] is not None else -math.inf))


def _means(entries: Sequence[PoolEntry]) -> list[float]:
    return [mean for entry in entries if (mean := entry.mean) is not None]


def _mean_of_first(values: Sequence[float | None], count: int) -> float | None:
    """None if there are fewer, or one of them is None."""
    first = [value for value in values[:count] if value is not None]
    return sum(first) / count if count and len(first) == count else None
