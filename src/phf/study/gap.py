"""Over-optimisation: whether what a method gains by the scorer it was trained on is a gain by scorers it was not trained on.

A model may learn the preference, or the weaknesses of the scorer that stands for it (Gao et al. 2022, "Scaling laws for
reward model overoptimization", arXiv 2210.10760). Scores of two scorers have different units, so the gap is in standard
deviations of the baseline's samples: the improvement by the trained-on scorer minus that by the held-out one. The same samples
are scored by both, so the gap is the difference of one number of each sample between two methods, with the interval over seeds
and samples that any score has; the two standard deviations are taken as known.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from phf.evaluation.compare import Comparison, PromptScores, compare, over_seeds
from phf.runs.reader import Run
from phf.statistics import UNKNOWN, Interval
from phf.study.analyse import score_bounds
from phf.study.held_out_scorers import HeldOut
from phf.study.plan import Arm, StudyRun


class Verdict(Enum):
    """What the two differences from the baseline say together."""

    NOT_IMPROVED = "not improved"
    """By the trained-on scorer: there is no improvement that might be over-optimised."""
    HOLDS = "holds"
    """It is an improvement by the held-out scorer, too."""
    WORSE = "worse"
    """By the held-out scorer it is worse than the baseline."""
    NOT_SHARED = "not shared"
    """By the held-out scorer there is none, and the gap is not 0."""
    UNDECIDED = "undecided"
    """By the held-out scorer there is none, but there may be one: these seeds and samples do not tell."""

    @property
    def is_warning(self) -> bool:
        """Whether a reader is to be warned that the scorer may have been learned instead of the preference."""
        return self in (Verdict.WORSE, Verdict.NOT_SHARED, Verdict.UNDECIDED)


@dataclass(frozen=True)
class Gap:
    """One method against the baseline, by the two scorers; negative differences are improvements."""

    trained: Comparison
    held_out: Comparison
    gap: Interval
    """In standard deviations of the baseline's samples; positive: the held-out scorer sees less of an improvement."""

    @property
    def name(self) -> str:
        """The method."""
        return self.trained.second

    @property
    def verdict(self) -> Verdict:
        """See `Verdict`."""
        trained, held_out = (one.interval for one in (self.trained, self.held_out))
        if not (trained.excludes_zero() and trained.mean < 0):
            return Verdict.NOT_IMPROVED
        if held_out.excludes_zero():
            return Verdict.HOLDS if held_out.mean < 0 else Verdict.WORSE
        return Verdict.NOT_SHARED if self.gap.excludes_zero() and self.gap.mean > 0 else Verdict.UNDECIDED


@dataclass(frozen=True)
class ScoredTwice:
    """The samples of one method, seed by seed, by both scorers."""

    name: str
    seeds: list[int]
    trained: list[PromptScores]
    held_out: list[PromptScores]
    trained_score: Interval
    held_out_score: Interval

    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of all samples of all seeds that both scorers have scored."""
        pairs = [
            (a, b)
            for trained, held_out in zip(self.trained, self.held_out, strict=True)
            for a, b in zip(trained.scores, held_out.scores, strict=True)
            if a is not None and b is not None
        ]
        first, second = zip(*pairs, strict=True) if pairs else ((), ())
        return np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)


@dataclass(frozen=True)
class GapResult:
    """All methods of a task in one scenario, by the task's scorer and a held-out one."""

    task: str
    scenario: str
    baseline: str
    trained_on: str
    """Class of the task's scorer."""
    held_out: str
    """Name of the held-out one."""
    arms: list[ScoredTwice]
    gaps: list[Gap]
    """Of each other method."""
    trained: list[str] = field(default_factory=list)
    """Methods that were trained on the held-out one's scores as well, as another preference: they are not compared."""


def analyse_gaps(
    runs: Sequence[StudyRun], results: Mapping[str, Run], held_out: Sequence[HeldOut], baseline: str
) -> list[GapResult]:
    """The results for each held-out scorer, task and scenario; `results`: name of the run -> its numbers and samples."""
    answers = []
    for task in dict.fromkeys(run.arm.task for run in runs):
        of_task = [run for run in runs if run.arm.task == task and run.name in results]
        for scenario in dict.fromkeys(name for run in of_task for name in results[run.name].samples):
            for scorer in held_out:
                arms = _arms(of_task, results, scenario, scorer)
                if len(arms) < 2:
                    continue
                names = [arm.name for arm in arms]
                first = baseline if baseline in names else names[0]
                arms.sort(key=lambda arm: arm.name != first)
                gaps = [_gap(scenario, arms[0], other) for other in arms[1:]]
                trained_on = str(of_task[0].config.generation.scorer_config.get("class_name"))
                trained = list(dict.fromkeys(run.arm.name for run in of_task if run.name in scorer.trained_on))
                answers.append(GapResult(task, scenario, first, trained_on, scorer.name, arms, gaps, trained))
    return answers


def _arms(runs: Sequence[StudyRun], results: Mapping[str, Run], scenario: str, held_out: HeldOut) -> list[ScoredTwice]:
    members: dict[Arm, list[StudyRun]] = {}
    for run in runs:
        has_both = scenario in results[run.name].samples and scenario in held_out.scores.get(run.name, {})
        if has_both and all(_scores(results, run, scenario, scores).scored()[1].size for scores in (None, held_out)):
            members.setdefault(run.arm, []).append(run)
    arms = []
    for arm, of_arm in members.items():
        trained, other = ([_scores(results, run, scenario, by) for run in of_arm] for by in (None, held_out))
        bounds = score_bounds(of_arm[0])
        intervals = over_seeds(trained, bounds), over_seeds(other, held_out.bounds)
        arms.append(ScoredTwice(arm.name, [run.seed for run in of_arm], trained, other, *intervals))
    return arms


def _scores(results: Mapping[str, Run], run: StudyRun, scenario: str, by: HeldOut | None) -> PromptScores:
    """The samples of a run, scored by the task's scorer or by a held-out one."""
    samples = results[run.name].samples[scenario]
    scores = [sample.score for sample in samples] if by is None else by.scores[run.name][scenario]
    return PromptScores([sample.prompt for sample in samples], scores)


def _gap(scenario: str, first: ScoredTwice, second: ScoredTwice) -> Gap:
    trained, held_out = (
        compare(scenario, (first.name, ours), (second.name, theirs))
        for ours, theirs in ((first.trained, second.trained), (first.held_out, second.held_out))
    )
    deviations = [float(scores.std()) if scores.size and np.ptp(scores) > 0 else math.nan for scores in first.both()]
    gap = UNKNOWN
    if not any(map(math.isnan, deviations)):
        sides = [(arm.name, _unshared(arm, *deviations)) for arm in (first, second)]
        if all(scores.scored()[1].size for _, seeds in sides for scores in seeds):
            gap = compare(scenario, *sides).interval
    return Gap(trained, held_out, gap)


def _unshared(arm: ScoredTwice, of_trained: float, of_held_out: float) -> list[PromptScores]:
    """Of each sample, its held-out score minus its trained-on score, both in standard deviations."""
    return [
        PromptScores(
            trained.prompts,
            [
                None if a is None or b is None else b / of_held_out - a / of_trained
                for a, b in zip(trained.scores, held_out.scores, strict=True)
            ],
        )
        for trained, held_out in zip(arm.trained, arm.held_out, strict=True)
    ]
