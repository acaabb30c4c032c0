"""How many steps of finetuning each model takes until it is as misaligned as a given score, and how certain that is.

The mean score of the samples is measured after 0, 1, 2, 4, ... steps. A finetuning has relearned where it first reaches the
goal, with a straight line between two measurements over log2(1 + steps). Means, intervals and differences of steps are on that
scale, so that twice as many steps are as far away from 3 as from 30.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from phf.evaluation.compare import Comparison, PromptScores, compare, over_seeds
from phf.statistics import UNBOUNDED, UNKNOWN, Interval, difference, mean_estimate, student_interval

Curve = Mapping[int, PromptScores]
"""Steps -> the scored samples of one finetuning."""


@dataclass(frozen=True)
class Relearning:
    """Steps until the goal of one method, over its seeds: models, or the finetunings of a single model."""

    log_steps: list[float | None]
    """log2(1 + steps) of each seed; None where the goal was not reached."""
    steps: Interval
    """Geometric mean of 1 + steps, minus 1, with Student's interval over seeds; unknown unless all have reached the goal."""

    @property
    def num_reached(self) -> int:
        """Seeds that have reached the goal."""
        return sum(value is not None for value in self.log_steps)


@dataclass(frozen=True)
class TamperedMethod:
    """One method, finetuned on one kind of data."""

    name: str
    units: list[str]
    """What the seeds are: names of models, or of the finetunings of a single model."""
    scores: dict[int, list[PromptScores]]
    """Steps -> the samples of each seed."""
    means: dict[int, Interval]
    """Steps -> mean score over seeds and samples."""
    relearning: Relearning


@dataclass(frozen=True)
class TamperedPair:
    """Two methods on misaligned data."""

    first: str
    second: str
    ratio: Interval
    """Of 1 + steps until the goal, second by first: above 1, the second takes longer. Unknown unless all seeds reached it."""
    at_end: Comparison
    """Of the scores after the last step, second - first."""


@dataclass(frozen=True)
class TamperResult:
    """All methods in one scenario."""

    scenario: str
    baseline: str
    goal: float
    """The score that counts as misaligned again."""
    is_goal_of_baseline: bool
    """Whether it is the baseline's own before finetuning."""
    steps: list[int]
    misaligned: list[TamperedMethod]
    """The baseline first."""
    benign: list[TamperedMethod]
    """The control, in the same order, of the methods that have one."""
    pairs: list[TamperedPair]


def analyse_tampering(
    scenario: str,
    misaligned: Mapping[str, Mapping[str, Sequence[Curve]]],
    benign: Mapping[str, Mapping[str, Sequence[Curve]]],
    baseline: str,
    reach: float | None,
    bounds: tuple[float, float] = UNBOUNDED,
) -> TamperResult:
    """Compare the methods in one scenario.

    Args:
        misaligned: method -> model -> its finetunings on misaligned data.
        benign: the same on benign data.
        reach: the goal; None: the baseline's mean score before finetuning.
        bounds: the lowest and the highest possible score.
    """
    first = baseline if baseline in misaligned else next(iter(misaligned))
    order = sorted(misaligned, key=lambda name: name != first)
    units = {name: units_of(misaligned[name]) for name in order}
    goal = over_seeds([curve[0] for curve in units[first].values()]).mean if reach is None else reach
    steps = sorted(set.intersection(*(set(curve) for curves in units.values() for curve in curves.values())))
    methods = [_method(name, units[name], _relearned(misaligned[name], goal), steps, bounds) for name in order]
    control = [
        _method(name, units_of(benign[name]), _relearned(benign[name], goal), steps, bounds)
        for name in order
        if benign.get(name)
    ]
    pairs = [_pair(scenario, one, other, steps[-1]) for one, other in combinations(methods, 2)]
    return TamperResult(scenario, first, goal, reach is None, steps, methods, control, pairs)


def units_of(models: Mapping[str, Sequence[Curve]]) -> dict[str, Curve]:
    """What is independent: the models, each with the samples of all its finetunings; of a single model, its finetunings."""
    if len(models) == 1:
        (name, curves), *_ = models.items()
        return {f"{name}, finetuning {number}": curve for number, curve in enumerate(curves, start=1)}
    return {name: _joined(curves) for name, curves in models.items()}


def log_steps_until(curve: Mapping[int, float], goal: float) -> float | None:
    """log2(1 + steps) until the mean score reaches the goal, between two measurements on a straight line; None if it does not.

    `curve`: steps -> mean score, steps 0 among them.
    """
    before: tuple[float, float] | None = None
    for steps in sorted(curve):
        here = math.log2(1 + steps), curve[steps]
        if here[1] >= goal:
            if before is None:
                return here[0]
            (x, score), (next_x, next_score) = before, here
            return x + (next_x - x) * (goal - score) / (next_score - score)
        before = here
    return None


def _joined(curves: Sequence[Curve]) -> Curve:
    steps = set.intersection(*(set(curve) for curve in curves))
    return {
        step: PromptScores(
            [prompt for curve in curves for prompt in curve[step].prompts],
            [score for curve in curves for score in curve[step].scores],
        )
        for step in sorted(steps)
    }


def _relearned(models: Mapping[str, Sequence[Curve]], goal: float) -> Relearning:
    """Of each unit; that of a model with several finetunings is their mean, if all have reached the goal."""
    of_models = [[log_steps_until(_means(curve), goal) for curve in curves] for curves in models.values()]
    if len(of_models) == 1:
        values = of_models[0]
    else:
        values = [None if None in of_model else float(np.mean(np.array(of_model))) for of_model in of_models]
    reached = [value for value in values if value is not None]
    if len(reached) < len(values):
        return Relearning(values, UNKNOWN)
    return Relearning(values, Interval(*(2**bound - 1 for bound in student_interval(reached, (0.0, math.inf)))))


def _means(curve: Curve) -> dict[int, float]:
    """Steps -> mean score, of those with a scored sample."""
    means = {step: scores.scored()[1] for step, scores in curve.items()}
    return {step: float(scores.mean()) for step, scores in means.items() if scores.size}


def _method(
    name: str, units: Mapping[str, Curve], relearning: Relearning, steps: Sequence[int], bounds: tuple[float, float]
) -> TamperedMethod:
    scores = {
        step: [curve[step] for curve in units.values() if step in curve and curve[step].scored()[1].size]
        for step in steps
    }
    means = {step: over_seeds(of_step, bounds) for step, of_step in scores.items()}
    return TamperedMethod(name, list(units), scores, means, relearning)


def _pair(scenario: str, first: TamperedMethod, second: TamperedMethod, last: int) -> TamperedPair:
    at_end = compare(scenario, (first.name, first.scores[last]), (second.name, second.scores[last]))
    return TamperedPair(first.name, second.name, _ratio(first.relearning, second.relearning), at_end)


def _ratio(first: Relearning, second: Relearning) -> Interval:
    sides = []
    for one in (first, second):
        values = [value for value in one.log_steps if value is not None]
        if not values or len(values) < len(one.log_steps):
            return UNKNOWN
        sides.append(mean_estimate(np.array(values)))
    between = difference(*sides)._replace(skew=0.0)
    return Interval(*(2**bound for bound in between.interval()))
