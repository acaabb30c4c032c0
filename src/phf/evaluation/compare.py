"""Methods on the same scenario: how their mean scores differ, how certain that is, and a sentence about it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from phf.config import method_label
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.runs.seeds import Group
from phf.statistics import (
    UNBOUNDED,
    UNKNOWN,
    Estimate,
    Interval,
    corrections,
    difference,
    influence_estimate,
    mean_estimate,
    mean_interval,
    numbered,
)

BASELINE = "mle"
"""The default baseline method."""


ROUNDING = 1e-12
"""Share of the largest score below which differences of two scores are attributed to rounding (.3 - .2 is not .1)."""


class PromptScores(NamedTuple):
    """The samples of one scenario, as needed for a comparison, in the scenario's order."""

    prompts: list[str]
    scores: list[float | None]

    def scored(self) -> tuple[list[str], np.ndarray]:
        """Prompts and scores of the samples that have a score."""
        kept = [(prompt, score) for prompt, score in zip(self.prompts, self.scores, strict=True) if score is not None]
        return [prompt for prompt, _ in kept], np.array([score for _, score in kept], dtype=np.float64)


@dataclass(frozen=True)
class Comparison:
    """Mean difference second - first of the misalignment scores of one scenario, with its 95% interval."""

    first: str
    """The baseline."""
    second: str
    scenario: str
    difference: float
    """Negative if the second is better aligned."""
    low: float
    """NaN, like `high`, if the samples do not determine the uncertainty of the difference."""
    high: float
    num_samples: int
    """Pairs of samples that both have a score; if not paired, scored samples of the smaller set."""
    is_paired: bool
    """Whether the samples of a pair continue the same prompt."""
    first_mean: float
    """The baseline's mean score."""
    first_seeds: int = 1
    second_seeds: int = 1
    """Number of runs of each that differ only in the seed."""

    @property
    def interval(self) -> Interval:
        """The difference with its interval."""
        return Interval(self.difference, self.low, self.high)

    @property
    def percent(self) -> float:
        """The difference in percent of the baseline's mean score; NaN if that is not positive."""
        return 100 * self.difference / self.first_mean if self.first_mean > 0 else math.nan

    def to_json(self) -> dict[str, Any]:
        """For comparison.json."""
        return {**asdict(self), "percent": self.percent}

    def describe(self) -> str:
        """One sentence on which is better aligned, or that this is not known; one more on seeds."""
        if not self.num_samples:
            return f"{self.scenario}: {self.evidence()}"
        if not math.isfinite(self.low):
            verdict = f"{self.second} and {self.first}"
        elif self.low <= 0 <= self.high:
            verdict = f"{self.second} and {self.first} cannot be distinguished"
        else:
            verdict = f"{self.second} is {'better' if self.difference < 0 else 'worse'} aligned than {self.first}"
        return f"{self.scenario}: {verdict}: {self.evidence()}"

    def evidence(self) -> str:
        """What `describe` says after the verdict: the difference, its interval, and the seeds."""
        if not self.num_samples:
            return f"{self.first} and {self.second} have no scored samples to compare."
        size = f"the mean score of {self.second} differs by {self.difference:+.3g}"
        if math.isfinite(self.percent):
            size += f", {self.percent:+.3g}% of {self.first}'s {self.first_mean:.3g}"
        if not math.isfinite(self.low):
            why = "all differences are the same" if self.num_samples > 1 else "there is one sample of it"
            return f"{size}, but {why}, so no interval is known."
        return f"{size} (95% interval {self.low:+.3g} to {self.high:+.3g}). {self._seeds()}"

    def _seeds(self) -> str:
        if self.first_seeds == self.second_seeds == 1:
            return "One seed each: differences between seeds are not in this interval."
        counts = f"Seeds: {self.second_seeds} of {self.second}, {self.first_seeds} of {self.first}"
        return f"{counts}; differences between seeds are in this interval."


def choose_baseline(groups: Sequence[Group], runs: Sequence[str], name: str | None = None) -> str:
    """The group that the others are compared with: the one requested, otherwise the first of method MLE, otherwise the first.

    Of several groups of MLE, the one with the most seeds is used.

    Args:
        runs: names of the runs that the groups' members number.
        name: the name of a group or a run, or a method. Raises `ConfigError` for an unknown name.
    """
    by_size = sorted(groups, key=lambda group: -len(group.members))
    if name is None:
        of_mle = [group.name for group in by_size if group.method.rpartition("/")[2].lower() == BASELINE]
        return of_mle[0] if of_mle else groups[0].name
    for group in groups:
        if name == group.name or name in (runs[index] for index in group.members):
            return group.name
    for group in by_size:
        if method_label(name) in (group.method, group.method.rpartition("/")[2]):
            return group.name
    known = dict.fromkeys(name for group in groups for name in (group.name, group.method))
    raise ConfigError(f"--baseline {name}: no run or method here has this name. {did_you_mean(name, known)}")


def compare_with_baseline(
    groups: Mapping[str, Mapping[str, Sequence[PromptScores]]], baseline: str
) -> list[Comparison]:
    """Each other group against the baseline, on each scenario that both have.

    `groups`: name of the method -> scenario -> the samples of each of its seeds.
    """
    return [
        compare(scenario, (baseline, ours), (name, scenarios[scenario]))
        for scenario, ours in groups[baseline].items()
        for name, scenarios in groups.items()
        if name != baseline and scenario in scenarios
    ]


def compare(
    scenario: str, first: tuple[str, Sequence[PromptScores]], second: tuple[str, Sequence[PromptScores]]
) -> Comparison:
    """Two methods on one scenario, each by the samples of its seeds. Seeds without a scored sample are left out."""
    runs = [[run for run in of_method if run.scored()[1].size] for _, of_method in (first, second)]
    means = [[float(run.scored()[1].mean()) for run in of_method] for of_method in runs]
    first_mean = float(np.mean(means[0])) if means[0] else math.nan
    is_paired = False
    interval, count = UNKNOWN, 0
    if all(runs):
        if len(runs[0]) == len(runs[1]) == 1:
            (ours,), (theirs,) = runs
            is_paired = ours.prompts == theirs.prompts and any(ours.prompts)
            if is_paired:
                interval, count = paired_difference(ours.prompts, ours.scores, theirs.scores)
            else:
                interval, count = unpaired_difference(ours, theirs)
        else:
            interval = seeds_difference(*runs)
            count = min(sum(run.scored()[1].size for run in of_method) for of_method in runs)
    seeds = [len(of_method) for of_method in runs]
    names = (first[0], second[0])
    return Comparison(*names, scenario, *interval, count, is_paired, first_mean, *seeds)


def paired_difference(
    prompts: Sequence[str], first: Sequence[float | None], second: Sequence[float | None]
) -> tuple[Interval, int]:
    """(mean of second - first over samples that both have a score, number of such pairs).

    Prompts are the clusters: samples of one prompt are not independent of one another.
    """
    pairs = [(p, b - a) for p, a, b in zip(prompts, first, second, strict=True) if a is not None and b is not None]
    differences = np.array([d for _, d in pairs])
    if differences.size and np.ptp(differences) <= ROUNDING * max(abs(s) for s in (*first, *second) if s is not None):
        differences[:] = differences[0]
    estimate = mean_estimate(differences, [p for p, _ in pairs])
    return estimate.interval(), len(pairs)


def unpaired_difference(first: PromptScores, second: PromptScores) -> tuple[Interval, int]:
    """(mean of second - mean of first, number of scored samples of the smaller set).

    Without prompts, or if all share one, samples are independent; otherwise prompts are the clusters, including those
    that both sets have.
    """
    (ours, a), (theirs, b) = first.scored(), second.scored()
    count = min(a.size, b.size)
    if not count:
        return UNKNOWN, 0
    independent = difference(mean_estimate(a), mean_estimate(b))
    prompts = numbered([*ours, *theirs])
    if prompts.max() == 0:
        return independent.interval(), count
    influence = np.concatenate([(a.mean() - a) / a.size, (b - b.mean()) / b.size])
    shares = np.bincount(prompts, np.repeat([0.5 / a.size, 0.5 / b.size], [a.size, b.size]))
    clustered = influence_estimate(independent.value, np.bincount(prompts, influence), shares, independent, count)
    return clustered.interval(), count


def seeds_difference(first: Sequence[PromptScores], second: Sequence[PromptScores]) -> Interval:
    """Mean over seeds of second - that of first, with Student's 95% interval.

    The variance is that between seeds, which includes the sampling of each, plus what all seeds have in common: the
    choice of prompts, as far as the two methods differ more on some prompts than on others. A single seed on one side
    is assumed to vary like those of the other.
    """
    return seeds_estimate(first, second).total().interval()


class SeedsEstimate(NamedTuple):
    """A mean over seeds, or the difference of two such means, and where its variance comes from."""

    between: Estimate
    """With the variance between seeds, which includes the sampling of each seed."""
    of_prompts: float
    """Variance that all seeds have in common: the choice of prompts."""
    degrees_of_prompts: float

    def total(self) -> Estimate:
        """With both variances; degrees of freedom by Welch and Satterthwaite."""
        variance, degrees = self.between.variance + self.of_prompts, self.between.degrees
        if self.of_prompts > 0:
            parts = self.between.variance**2 / degrees + self.of_prompts**2 / self.degrees_of_prompts
            degrees = variance**2 / parts
        return Estimate(self.between.value, variance, 0.0, degrees)


def seeds_estimate(first: Sequence[PromptScores], second: Sequence[PromptScores]) -> SeedsEstimate:
    """What `seeds_difference` is computed from; at least one of the two has several seeds."""
    groups = [[run.scored() for run in runs] for runs in (first, second)]
    of_seeds = [mean_estimate(np.array([scores.mean() for _, scores in runs])) for runs in groups]
    for side in (0, 1):
        if len(groups[side]) == 1:
            other = of_seeds[1 - side]
            of_seeds[side] = Estimate(of_seeds[side].value, other.variance * len(groups[1 - side]), 0.0, other.degrees)
    between = difference(*of_seeds)
    if min(map(len, groups)) == 1:
        between = between._replace(degrees=of_seeds[0].degrees)
    return SeedsEstimate(between, *_variance_of_prompts(groups))


def over_seeds(seeds: Sequence[PromptScores], bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """The mean score of one method with its 95% interval; every seed counts the same.

    Of k seeds, each with a scored sample: Student's interval of the k means of the seeds, with k - 1 degrees of freedom. The
    variance between them includes the sampling of each; the choice of prompts, which all seeds have in common, is added.
    It covers the mean that other seeds and other samples would give. Of one seed: the interval over its samples, clustered
    by prompt, which does not cover another seed.

    `bounds`: the lowest and the highest possible score.
    """
    scored = [run.scored() for run in seeds]
    if len(scored) < 2:
        return mean_interval(scored[0][1], scored[0][0], bounds) if scored else UNKNOWN
    between = mean_estimate(np.array([scores.mean() for _, scores in scored]))
    return SeedsEstimate(between._replace(skew=0.0), *_variance_of_prompts([scored])).total().interval(bounds)


def _variance_of_prompts(groups: Sequence[Sequence[tuple[list[str], np.ndarray]]]) -> tuple[float, float]:
    """(variance that comes from the choice of prompts, its degrees of freedom); 0 if there are none.

    Of the mean of one method, or of the difference of two. That of whole prompts, minus the part due to the sampling of each
    run: the deviation of its prompts from those of the other seeds.
    """
    all_prompts = [prompt for runs in groups for prompts, _ in runs for prompt in prompts]
    codes = {prompt: number for number, prompt in enumerate(dict.fromkeys(all_prompts))}
    if len(codes) < 2:
        return 0.0, 0.0
    sizes = [np.bincount([codes[p] for prompts, _ in runs for p in prompts], minlength=len(codes)) for runs in groups]
    shares = sum(of_side / of_side.sum() for of_side in sizes) / len(groups)
    factors, degrees = corrections(shares, shares**2)  # the effect of a prompt is common to all its samples
    moved, noise = np.zeros(len(codes)), [math.nan] * len(groups)
    for side, runs in enumerate(groups):
        cells = np.stack(
            [
                np.bincount([codes[p] for p in prompts], (scores - scores.mean()) / scores.size, len(codes))
                for prompts, scores in runs
            ]
        ) / len(runs)  # [runs, prompts]
        moved += (2 * side - 1) * cells.sum(0)
        if len(runs) > 1:
            noise[side] = float((factors * (cells - cells.mean(0)) ** 2).sum() * len(runs) / (len(runs) - 1))
    for side in range(len(groups)):
        if math.isnan(noise[side]):
            noise[side] = noise[1 - side] * len(groups[1 - side])
    return max(float((factors * moved**2).sum()) - sum(noise), 0.0), degrees
