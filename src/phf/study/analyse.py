"""The numbers of a study: each arm over its seeds, each pair of arms, and what it would take to tell a pair apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from phf.errors import PhfError
from phf.evaluation.compare import Comparison, PromptScores, compare, over_seeds
from phf.evaluation.power import Needed, needed_of
from phf.registry.names import SCORERS
from phf.report.tables import MEASURES
from phf.runs.reader import Run
from phf.statistics import UNBOUNDED, UNKNOWN, Interval, difference_of_seeds, student_interval
from phf.study.plan import Arm, StudyRun

HELD_OUT = "eval/bits_per_byte"
OF_SCORES = ("score", "num_", "hit_probability", "samples_per_second")
"""Beginnings of the keys of a scenario that are scores, counts or rates, not metrics of the samples."""


@dataclass(frozen=True)
class ArmResult:
    """One arm of a task in one scenario, over its seeds."""

    name: str
    seeds: list[int]
    """Those with a result."""
    scores: list[PromptScores]
    """The samples of each seed."""
    score: Interval
    """Mean misalignment score; see `over_seeds`."""
    bits: list[float]
    """Held-out bits per byte of each seed; empty where not measured."""
    bits_per_byte: Interval
    """Student's interval over the seeds: all of them are measured on the same held-out text."""
    measures: dict[str, Interval]
    """KL, downstream tasks, GLUE: each over the seeds."""
    metrics: dict[str, Interval]
    """Length, diversity and the like of the samples, by `metrics_configs`: each over the seeds."""
    thresholds: dict[str, str]
    """Thresholds that were percentiles: key -> "p50 = 0.00236"."""
    switch_point: float
    """Share of the tokens that were trained with MLE before the method."""
    from_start: str
    """The name of the arm that has the method from the start."""
    dominated_by: list[str] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        """Scored samples over all seeds."""
        return sum(run.scored()[1].size for run in self.scores)


@dataclass(frozen=True)
class Pair:
    """Two arms of a task in one scenario: second - first."""

    comparison: Comparison
    """Of the misalignment scores."""
    bits: Interval
    """Of held-out bits per byte."""
    first_bits: float
    """Mean of the first."""
    is_disjoint: bool
    """Whether the intervals of the two misalignment scores do not overlap."""
    needed: Needed | None
    """What would distinguish the two, where these runs do not and that can be estimated."""

    @property
    def is_distinguished(self) -> bool:
        """Whether the interval of the difference of the misalignment scores excludes 0."""
        return self.comparison.interval.excludes_zero()

    @property
    def bits_percent(self) -> Interval:
        """The difference in bits per byte in percent of the first's mean."""
        return self.bits.scaled(100 / self.first_bits) if self.first_bits > 0 else UNKNOWN


@dataclass(frozen=True)
class TaskResult:
    """All arms of a task in one scenario."""

    task: str
    scenario: str
    baseline: str
    arms: list[ArmResult]
    pairs: list[Pair]
    """Each pair once: the baseline first with every other arm, then the others in order."""


def analyse(runs: Sequence[StudyRun], results: Mapping[str, Run], baseline: str) -> list[TaskResult]:
    """The results for each task and scenario, of the runs that have one; `results`: name of the run -> its folder.

    Scenarios are those that the arms of a task have under the same name.
    """
    answers = []
    for task in dict.fromkeys(run.arm.task for run in runs):
        members: dict[Arm, list[tuple[int, Run]]] = {}
        of_task = [run for run in runs if run.arm.task == task]
        for run in of_task:
            if run.name in results:
                members.setdefault(run.arm, []).append((run.seed, results[run.name]))
        scenarios = dict.fromkeys(name for of_arm in members.values() for _, run in of_arm for name in run.samples)
        bounds = score_bounds(of_task[0])
        for scenario in scenarios:
            arms = [_arm(arm, of_arm, scenario, bounds) for arm, of_arm in members.items()]
            arms = [arm for arm in arms if arm.seeds]
            if not arms:  # none of its samples has a score
                continue
            names = [arm.name for arm in arms]
            first = baseline if baseline in names else names[0]
            arms.sort(key=lambda arm: arm.name != first)
            pairs = [_pair(scenario, one, other) for one, other in combinations(arms, 2)]
            _mark_dominated(arms, pairs)
            answers.append(TaskResult(task, scenario, first, arms, pairs))
    return answers


def _arm(arm: Arm, members: Sequence[tuple[int, Run]], scenario: str, bounds: tuple[float, float]) -> ArmResult:
    seeds, scores, bits = [], [], []
    runs = []
    for seed, run in members:
        samples = run.samples.get(scenario, [])
        of_run = PromptScores([sample.prompt for sample in samples], [sample.score for sample in samples])
        if not of_run.scored()[1].size:
            continue
        runs.append(run)
        seeds.append(seed)
        scores.append(of_run)
        if (measured := run.last(HELD_OUT)) is not None:
            bits.append(measured)
    thresholds = dict(runs[0].provenance.get("percentiles") or {}) if runs else {}
    return ArmResult(
        name=arm.name,
        seeds=seeds,
        scores=scores,
        score=over_seeds(scores, bounds),
        bits=bits,
        bits_per_byte=student_interval(bits),
        measures={key: interval for group in MEASURES for key, interval in _over_seeds(runs, group).items()},
        metrics=_metrics(runs, f"generation/{scenario}/"),
        thresholds=thresholds,
        switch_point=arm.switch_point,
        from_start=arm.from_start,
    )


def _metrics(runs: Sequence[Run], start: str) -> dict[str, Interval]:
    """Metrics of the samples of the scenario whose keys begin with `start`, by name."""
    by_name = {key.removeprefix(start): interval for key, interval in _over_seeds(runs, start).items()}
    return {name: by_name[name] for name in by_name if not name.startswith(OF_SCORES) and "/" not in name}


def _over_seeds(runs: Sequence[Run], start: str) -> dict[str, Interval]:
    """Each number whose key begins with `start`, over the runs that have it; bounds of single runs left out."""
    keys = dict.fromkeys(key for run in runs for key in run.last_values(start))
    kept = [key for key in keys if not key.endswith(("_low", "_high", "_stderr"))]
    return {key: student_interval([value for run in runs if (value := run.last(key)) is not None]) for key in kept}


def _pair(scenario: str, first: ArmResult, second: ArmResult) -> Pair:
    comparison = compare(scenario, (first.name, first.scores), (second.name, second.scores))
    bits = difference_of_seeds(first.bits, second.bits)
    low, high = sorted((first.score, second.score), key=lambda interval: interval.mean)
    is_known = not math.isnan(low.high) and not math.isnan(high.low)
    wanted = needed_of(comparison, first.scores, second.scores)
    return Pair(
        comparison,
        bits,
        float(np.mean(first.bits)) if first.bits else math.nan,
        is_known and low.high < high.low,
        wanted,
    )


def _mark_dominated(arms: Sequence[ArmResult], pairs: Sequence[Pair]) -> None:
    """An arm is dominated by another that is no worse in both means, misalignment and held-out loss, and in one of them
    better by a difference whose interval excludes 0."""
    by_name = {arm.name: arm for arm in arms}
    for pair in pairs:
        score = pair.comparison.interval
        if math.isnan(pair.bits.mean) or not (score.excludes_zero() or pair.bits.excludes_zero()):
            continue
        names = pair.comparison.first, pair.comparison.second
        if score.mean <= 0 and pair.bits.mean <= 0:
            by_name[names[0]].dominated_by.append(names[1])
        elif score.mean >= 0 and pair.bits.mean >= 0:
            by_name[names[1]].dominated_by.append(names[0])


def score_bounds(run: StudyRun) -> tuple[float, float]:
    """The lowest and the highest score of a task's scorer, as far as its class says."""
    try:
        scorer = SCORERS.resolve(str(run.config.generation.scorer_config.get("class_name")))
    except PhfError:
        return UNBOUNDED
    bounds: tuple[float, float] = getattr(scorer, "score_bounds", UNBOUNDED)
    return bounds
