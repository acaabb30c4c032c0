"""How many more seeds or samples would distinguish two methods, if their difference is what it seems to be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from phf.evaluation.compare import Comparison, PromptScores, SeedsEstimate, seeds_estimate
from phf.statistics import Interval, numbered, students_quantile

MOST_SEEDS = 1000
MOST_TIMES_SAMPLES = 1000
"""Beyond these, the answer is that it would not help."""


@dataclass(frozen=True)
class Needed:
    """What would make the 95% interval of a difference exclude 0, all else being as estimated."""

    seeds: int | None
    """Seeds of each of the two, with as many samples each as now; None: `MOST_SEEDS` would not be enough."""
    samples: int | None
    """Samples of each run, with as many seeds as now; None: `MOST_TIMES_SAMPLES` as many would not be enough, since
    seeds differ by more than their samples do."""
    is_of_one_seed: bool = False
    """Whether there is one seed each: then `samples` distinguish these two runs, and nothing is known of `seeds`."""

    def describe(self) -> str:
        """One sentence: how many more seeds or samples would distinguish the two."""
        seeds, samples = self.seeds, self.samples
        if self.is_of_one_seed:
            size = f"{MOST_TIMES_SAMPLES:,} times as many" if samples is None else f"{samples:,}"
            would = "would not" if samples is None else "would"
            return (
                f"If the difference is as measured, {size} samples of each run {would} distinguish these two runs. How much "
                "seeds differ is unknown with one each: that takes at least 3 seeds."
            )
        ways = [f"{seeds:,} seeds each"] if seeds is not None else []
        ways += [f"{samples:,} samples of each run"] if samples is not None else []
        if not ways:
            return (
                f"If the difference is as measured, neither {MOST_SEEDS:,} seeds each nor {MOST_TIMES_SAMPLES:,} times as many "
                "samples would distinguish the two."
            )
        sentence = f"If the difference is as measured, {' or '.join(ways)} would distinguish the two"
        if samples is None:
            return f"{sentence}; more samples alone would not, since the seeds themselves differ."
        return f"{sentence}." if seeds is not None else f"{sentence}; {MOST_SEEDS:,} seeds alone would not."


def needed_of(comparison: Comparison, first: Sequence[PromptScores], second: Sequence[PromptScores]) -> Needed | None:
    """For a comparison of these samples; None where its interval excludes 0 already, or that cannot be estimated."""
    if comparison.interval.excludes_zero():
        return None
    if len(first) == len(second) == 1:
        return needed_samples(comparison.interval, max(run.scored()[1].size for run in (*first, *second)))
    return needed(first, second)


def needed(first: Sequence[PromptScores], second: Sequence[PromptScores]) -> Needed | None:
    """For two methods with at least two seeds each; None for fewer, or where no difference was seen.

    The variance of a seed's mean is divided into that of its samples, as their spread implies, and the rest, which is that
    of the seed itself; the choice of prompts, which all seeds have in common, shrinks with the number of samples.
    """
    if min(len(first), len(second)) < 2:
        return None
    estimate = seeds_estimate(first, second)
    size = abs(estimate.between.value)
    if size == 0 or not estimate.between.variance > 0:
        return None
    of_seeds = [float(np.var([run.scored()[1].mean() for run in runs], ddof=1)) for runs in (first, second)]
    of_samples = [_variance_of_samples(runs) for runs in (first, second)]
    now = max(len(first), len(second))

    def with_samples(times: float) -> bool:
        parts = [
            (max(whole - within, 0.0) + min(whole, within) / times) / len(runs)
            for whole, within, runs in zip(of_seeds, of_samples, (first, second), strict=True)
        ]
        return _half_width(estimate, sum(parts), estimate.between.degrees, estimate.of_prompts / times) < size

    samples = max(run.scored()[1].size for run in (*first, *second))
    times = _least(with_samples, 2, MOST_TIMES_SAMPLES)
    seeds = needed_seeds(size, of_seeds, now, estimate)
    return Needed(seeds, None if times is None else times * samples)


def needed_seeds(size: float, of_seeds: Sequence[float], now: int, estimate: SeedsEstimate | None = None) -> int | None:
    """Seeds of each of two methods, more than `now`, at which the 95% interval of a difference of this size excludes 0.

    Args:
        of_seeds: variance of one seed's mean, of each method.
        estimate: with a variance that all seeds have in common; None for none.

    None if `MOST_SEEDS` are not enough, or where no difference or no spread was seen.
    """
    if size == 0 or not sum(of_seeds) > 0:
        return None

    def is_enough(count: int) -> bool:
        parts = [variance / count for variance in of_seeds]
        degrees = sum(parts) ** 2 / sum(part**2 / (count - 1) for part in parts)
        if estimate is None:
            return students_quantile(degrees) * math.sqrt(sum(parts)) < size
        return _half_width(estimate, sum(parts), degrees, estimate.of_prompts) < size

    return _least(is_enough, now + 1, MOST_SEEDS)


def needed_samples(interval: Interval, num_samples: int) -> Needed | None:
    """For two runs, one seed each, by the interval of their difference, which includes 0; None where it is not known, or
    where no difference was seen.

    `num_samples`: of each run now. With m times as many, of as many more prompts, the interval is 1 / sqrt(m) as wide.
    """
    if interval.mean == 0 or math.isnan(interval.low) or math.isnan(interval.high):
        return None
    towards_zero = interval.mean - interval.low if interval.mean > 0 else interval.high - interval.mean
    times = math.floor((towards_zero / interval.mean) ** 2) + 1
    return Needed(None, times * num_samples if times <= MOST_TIMES_SAMPLES else None, is_of_one_seed=True)


def _half_width(estimate: SeedsEstimate, variance: float, degrees: float, of_prompts: float) -> float:
    changed = estimate.between._replace(variance=variance, degrees=degrees)
    total = SeedsEstimate(changed, of_prompts, estimate.degrees_of_prompts).total()
    return students_quantile(total.degrees) * math.sqrt(total.variance)


def _variance_of_samples(runs: Sequence[PromptScores]) -> float:
    """Mean variance of a run's mean that its own samples imply, in which the runs differ: without the differences between
    prompts, which all runs have in common. 0 where each prompt has a single sample."""
    scored = [run.scored() for run in runs]
    prompts = numbered([prompt for of_run, _ in scored for prompt in of_run])
    deviations = np.concatenate([scores - scores.mean() for _, scores in scored])
    of_prompts = np.bincount(prompts, deviations) / np.bincount(prompts)
    degrees = deviations.size - len(runs) - of_prompts.size + 1
    if degrees < 1:
        return 0.0
    variance = float(((deviations - of_prompts[prompts]) ** 2).sum()) / degrees
    return float(np.mean([variance / scores.size for _, scores in scored]))


def _least(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least number from `low` to `high` for which a condition holds that, once it holds, keeps holding."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
