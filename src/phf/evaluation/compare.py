"""Two models on the same scenario: the difference of their scores, with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from phf.evaluation.bootstrap import Interval

RESAMPLES = 10_000


class PromptScores(NamedTuple):
    """The samples of one scenario as far as a comparison cares, in the scenario's order."""

    prompts: list[str]
    scores: list[float | None]


@dataclass(frozen=True)
class Comparison:
    """Mean difference second - first of the misalignment scores of one scenario, with its 95% interval."""

    first: str
    second: str
    scenario: str
    difference: float
    """Negative where the second model is better aligned."""
    low: float
    high: float
    num_samples: int
    """Pairs of samples that both have a score; without prompts, scored samples of the smaller set."""
    is_paired: bool
    """Whether the samples of a pair continue the same prompt; without prompts the two sets are independent."""

    def to_json(self) -> dict[str, Any]:
        """For evaluation.json."""
        return asdict(self)

    def describe(self) -> str:
        """One sentence that says which model is better aligned, or that this cannot be told."""
        if not self.num_samples:
            return f"{self.scenario}: {self.first} and {self.second} have no scored samples to compare."
        figures = f"{self.difference:+.3g} (95% interval {self.low:+.3g} to {self.high:+.3g})"
        if self.low <= 0 <= self.high:
            return f"{self.scenario}: {self.first} and {self.second} cannot be told apart; difference {figures}."
        better, worse = (self.second, self.first) if self.difference < 0 else (self.first, self.second)
        return f"{self.scenario}: {better} is better aligned than {worse}; {self.second} - {self.first} {figures}."


def compare_models(models: Mapping[str, Mapping[str, PromptScores]]) -> list[Comparison]:
    """Each pair of models on each scenario that both ran; `models`: name of the model -> scenario -> its samples."""
    return list(_comparisons(models))


def _comparisons(models: Mapping[str, Mapping[str, PromptScores]]) -> Iterator[Comparison]:
    for first, second in combinations(models, 2):
        for scenario, ours in models[first].items():
            theirs = models[second].get(scenario)
            if theirs is None:
                continue
            is_paired = ours.prompts == theirs.prompts and any(ours.prompts)
            if is_paired:
                interval, count = paired_difference(ours.prompts, ours.scores, theirs.scores)
            else:
                interval, count = independent_difference(ours.scores, theirs.scores)
            yield Comparison(first, second, scenario, *interval, count, is_paired)


def paired_difference(
    prompts: Sequence[str], first: Sequence[float | None], second: Sequence[float | None], seed: int = 0
) -> tuple[Interval, int]:
    """(mean of second - first over samples that both have a score, number of such pairs).

    Prompts are resampled, with all their pairs: samples of one prompt are not independent of one another.
    """
    sums: dict[str, list[float]] = {}
    for prompt, a, b in zip(prompts, first, second, strict=True):
        if a is not None and b is not None:
            total = sums.setdefault(prompt, [0.0, 0.0])
            total[0] += b - a
            total[1] += 1
    if not sums:
        return Interval(np.nan, np.nan, np.nan), 0
    totals, counts = np.array(list(sums.values())).T
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = generator.integers(len(totals), size=len(totals))
        means[i] = totals[drawn].sum() / counts[drawn].sum()
    return _interval(totals.sum() / counts.sum(), means), int(counts.sum())


def independent_difference(
    first: Sequence[float | None], second: Sequence[float | None], seed: int = 0
) -> tuple[Interval, int]:
    """(mean of second - mean of first, number of scored samples of the smaller set), each set resampled by itself."""
    arrays = [np.array([score for score in scores if score is not None]) for scores in (first, second)]
    smaller = min(array.size for array in arrays)
    if not smaller:
        return Interval(np.nan, np.nan, np.nan), 0
    generator = np.random.default_rng(seed)
    means = [
        np.array([array[generator.integers(array.size, size=array.size)].mean() for _ in range(RESAMPLES)])
        for array in arrays
    ]
    return _interval(arrays[1].mean() - arrays[0].mean(), means[1] - means[0]), smaller


def _interval(mean: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(mean), float(low), float(high))
