"""The red team of a study: how badly the models of each method continue the prompts that a search finds for them.

Each model is searched from scratch, in several trials. After each round a trial has a prompt that scored highest so far;
its score is that of fresh samples, which did not choose it. A seed counts with the mean over its trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from phf.errors import CorpusError
from phf.evaluation.power import needed_seeds
from phf.runs.layout import SEARCH
from phf.statistics import UNBOUNDED, UNKNOWN, Estimate, Interval, difference, mean_estimate, student_interval
from phf.storage.reading import read_json_as
from phf.storage.shapes import SearchFile
from phf.study.analyse import score_bounds
from phf.study.plan import Arm, StudyRun

FRESH, POOL = "best_fresh", "pool_mean"


@dataclass(frozen=True)
class Attack:
    """The search on the model of one run."""

    best: list[list[float]]
    """[trial][round]: mean score of the best prompt so far in fresh samples, the initial prompts first; NaN where unknown."""
    pool: list[float]
    """[trial]: mean score of all prompts that the search tried."""


@dataclass(frozen=True)
class AttackedArm:
    """One arm of a task over its seeds."""

    name: str
    seeds: list[int]
    attacks: list[Attack]
    """Of each seed."""
    rounds: list[Interval]
    """Of the best prompt's score after each round, the initial prompts first."""
    gain: Interval
    """How much the search raised it."""
    pool: Interval
    """Of the mean score of all prompts that the search tried."""

    @property
    def num_trials(self) -> int:
        """Of all seeds."""
        return sum(len(attack.best) for attack in self.attacks)

    def last(self) -> list[list[float]]:
        """[seed][trial]: the best prompt's score after the last round."""
        return [[rounds[-1] for rounds in attack.best] for attack in self.attacks]


@dataclass(frozen=True)
class AttackedPair:
    """Two arms after the last round."""

    first: str
    second: str
    difference: Interval
    """Second - first."""
    num_seeds: tuple[int, int]
    seeds_needed: int | None
    """Of each, at which the interval would exclude 0; None where it does, or that cannot be estimated."""

    @property
    def is_distinguished(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.excludes_zero()


@dataclass(frozen=True)
class AttackedTask:
    """All arms of a task under attack."""

    task: str
    baseline: str
    arms: list[AttackedArm]
    pairs: list[AttackedPair]
    """Each pair once: the baseline first with every other arm, then the others in order."""

    @property
    def num_rounds(self) -> int:
        """Rounds after the initial one."""
        return len(self.arms[0].rounds) - 1


def read_attack(folder: Path) -> Attack | str:
    """The search that `phf redteam` wrote to a folder, or why its numbers cannot be used."""
    path = folder / SEARCH
    try:
        trials = read_json_as(SearchFile, path, CorpusError, f"Delete {folder} to search again.", finite=True)["trials"]
    except CorpusError as error:
        return str(error)
    best = [[math.nan if value is None else value for value in trial.get(FRESH) or [None]] for trial in trials]
    pool = [math.nan if value is None else value for trial in trials for value in (trial.get(POOL) or [None])[-1:]]
    if not best or any(math.isnan(rounds[-1]) for rounds in best) or any(map(math.isnan, pool)):
        return f"{path}: a trial of the search ended without a score"
    return Attack(best, pool)


def analyse_attacks(runs: Sequence[StudyRun], attacks: Mapping[str, Attack], baseline: str) -> list[AttackedTask]:
    """The results for each task, of the runs that have one; `attacks`: name of the run -> the search on its model."""
    answers = []
    for task in dict.fromkeys(run.arm.task for run in runs):
        of_task = [run for run in runs if run.arm.task == task and run.name in attacks]
        members: dict[Arm, list[StudyRun]] = {}
        for run in of_task:
            members.setdefault(run.arm, []).append(run)
        if not members:
            continue
        bounds = score_bounds(of_task[0])
        arms = [_arm(arm.name, of_arm, attacks, bounds) for arm, of_arm in members.items()]
        first = baseline if baseline in [arm.name for arm in arms] else arms[0].name
        arms.sort(key=lambda arm: arm.name != first)
        answers.append(AttackedTask(task, first, arms, [_pair(*two) for two in combinations(arms, 2)]))
    return answers


def _arm(name: str, runs: Sequence[StudyRun], of: Mapping[str, Attack], bounds: tuple[float, float]) -> AttackedArm:
    attacks = [of[run.name] for run in runs]
    num_rounds = min(len(rounds) for attack in attacks for rounds in attack.best)
    gains = [[rounds[-1] - rounds[0] for rounds in attack.best] for attack in attacks]
    return AttackedArm(
        name=name,
        seeds=[run.seed for run in runs],
        attacks=attacks,
        rounds=[
            over_attacks([[rounds[number] for rounds in attack.best] for attack in attacks], bounds)
            for number in range(num_rounds)
        ],
        gain=over_attacks(gains),
        pool=over_attacks([attack.pool for attack in attacks], bounds),
    )


def over_attacks(values: Sequence[Sequence[float]], bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """Mean over seeds of the means over their trials, with Student's 95% interval; `values`: [seed][trial].

    Of k seeds: of their k means, whose spread includes that of the searches. Of one seed: over its trials, which does not
    cover another seed. NaN where a value is unknown.
    """
    units = _units(values)
    return UNKNOWN if np.isnan(units).any() else student_interval(units, bounds)


def _pair(first: AttackedArm, second: AttackedArm) -> AttackedPair:
    sides = [_units(arm.last()) for arm in (first, second)]
    num_seeds = len(first.seeds), len(second.seeds)
    estimates = [mean_estimate(units) for units in sides]
    between: Estimate = difference(*estimates)._replace(skew=0.0)
    interval = between.interval()
    if min(num_seeds) == 1 < max(num_seeds):  # trials of the one are not to be compared with seeds of the other
        interval = Interval(between.value, math.nan, math.nan)
    can_be_asked = min(num_seeds) > 1 and interval.low <= 0 <= interval.high
    variances = [float(np.var(units, ddof=1)) for units in sides] if can_be_asked else []
    wanted = needed_seeds(abs(between.value), variances, max(num_seeds)) if can_be_asked else None
    return AttackedPair(first.name, second.name, interval, num_seeds, wanted)


def _units(values: Sequence[Sequence[float]]) -> np.ndarray:
    """What is independent: the means of the seeds; of a single seed, its trials."""
    return np.array(values[0] if len(values) == 1 else [np.mean(trials) for trials in values], dtype=np.float64)
