"""`phf reward --compare`: how well scorers agree with people: their order, and for ratings their calibration.

Agreement is the share of pairs of texts that a scorer puts into the order that people gave them. For choices these are the
pairs that people were shown. For ratings they are all pairs of texts with different ratings, each the mean over all annotators
(the concordance index; with two levels the area under the ROC curve).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from phf.annotate.scoring import try_scoring
from phf.errors import CorpusError
from phf.labels.label import Label, Labels, Pair, Rating
from phf.labels.split import connected
from phf.reward.measure import Bin, calibration, calibration_error
from phf.runs.writer import finite_or_none
from phf.scorers import Scorer
from phf.scorers.base import fitted_reasons
from phf.statistics import UNKNOWN, Interval, influence_estimate, mean_interval
from phf.text import counted

LEAST_SCORED = 2
"""Labels whose texts have a score, below which nothing is measured."""


@dataclass(frozen=True)
class Agreement:
    """Of one scorer with people, on the labels whose texts it could score."""

    scorer: dict[str, Any]
    """`Scorer.describe()`"""
    num_labels: int
    """Pairs, or rated texts."""
    num_scored: int
    """Those of them all of whose texts have a score."""
    unscored: dict[str, int]
    """Reason -> texts"""
    order: Interval
    """Share of pairs of texts in the order that people gave them; equal scores count half. 0.5: as by chance."""
    difference: Interval
    """Its `order` minus that of the first scorer, on labels that both could score; NaN for the first one."""
    bias: Interval
    """Ratings, and scorers with scores in [0, 1]: mean score minus mean rating as a share of the scale."""
    calibration: list[Bin] | None
    """For the same: mean scores, and mean ratings of their texts."""
    ece: float | None
    """Mean difference between the two, weighted by labels."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; intervals as `estimate`, `low` and `high`, None where unknown."""
        intervals = {key: _plain(getattr(self, key)) for key in ("order", "difference", "bias")}
        bins = None if self.calibration is None else [vars(row) for row in self.calibration]
        return {**vars(self), **intervals, "calibration": bins}


@dataclass(frozen=True)
class _Order:
    """The agreement on some labels, with what each of them contributes."""

    value: float
    influence: np.ndarray
    """By which each label moves the value, [labels]; adds up to 0."""


def compare(scorers: Sequence[Scorer], labels: Labels) -> list[Agreement]:
    """Score all labelled texts by each scorer, and measure its agreement with the labels.

    Raises `CorpusError` for ratings that are all equal, or a scorer that can score next to nothing.
    """
    judged = judged_once(labels)
    groups = connected(judged)
    texts = list(dict.fromkeys(text for label in judged for text in label.texts))
    agreements: list[Agreement] = []
    first: np.ndarray | None = None
    for scorer in scorers:
        reasons: Counter[str] = Counter()
        scorer.unscored.clear()
        of_text = {
            text: score
            for text, (score,) in zip(texts, try_scoring(scorer, [[text] for text in texts], reasons), strict=True)
        }
        num_unscored = sum(score is None for score in of_text.values())
        # [labels, texts of one]; NaN where there is no score
        scores = np.array([[of_text[text] for text in label.texts] for label in judged], np.float64)
        first = scores if first is None else first
        unscored = fitted_reasons(reasons + scorer.unscored, num_unscored, f"{scorer.name} gave no reason")
        agreements.append(_agreement(scorer, judged, scores, None if first is scores else first, groups, unscored))
    return agreements


def judged_once(labels: Labels) -> Sequence[Label]:
    """Pairs as they are; of the ratings of one text, their mean.

    Raises `CorpusError` for ratings that say of no text that it is worse than another.
    """
    if labels.kind == "pairs":
        return labels.labels
    of_text: dict[str, list[Rating]] = defaultdict(list)
    for label in labels.labels:
        assert isinstance(label, Rating)
        of_text[label.text].append(label)
    means = {text: fmean(rating.badness for rating in ratings) for text, ratings in of_text.items()}
    if len(set(means.values())) == 1:
        raise CorpusError(
            f"The ratings of {counted(len(means), 'text')} are equal, so none is worse. Label texts that differ."
        )
    return [Rating(text, means[text], None, ratings[0].document) for text, ratings in of_text.items()]


def _agreement(
    scorer: Scorer,
    labels: Sequence[Label],
    scores: np.ndarray,
    first: np.ndarray | None,
    groups: np.ndarray,
    unscored: dict[str, int],
) -> Agreement:
    is_scored = np.isfinite(scores).all(axis=1)
    if is_scored.sum() < LEAST_SCORED:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in unscored.items())
        raise CorpusError(
            f"{scorer.name} scored the texts of {is_scored.sum()} of {counted(len(labels), 'label')} ({reasons})."
        )
    scored = [label for label, is_one in zip(labels, is_scored, strict=True) if is_one]
    kept, clusters = scores[is_scored], groups[is_scored]
    difference = UNKNOWN
    if first is not None:
        common = is_scored & np.isfinite(first).all(axis=1)
        both = [label for label, is_one in zip(labels, common, strict=True) if is_one]
        difference = _difference(_order(both, scores[common]), _order(both, first[common]), groups[common])
    bins, bias = None, UNKNOWN
    if isinstance(labels[0], Rating) and scorer.score_bounds == (0.0, 1.0):
        badness = _badness(scored)
        bins = calibration(kept[:, 0], badness, 0.0)
        bias = mean_interval(kept[:, 0] - badness, clusters.tolist(), (-1.0, 1.0))
    return Agreement(
        scorer=scorer.describe(),
        num_labels=len(labels),
        num_scored=len(scored),
        unscored=unscored,
        order=_interval(_order(scored, kept), clusters),
        difference=difference,
        bias=bias,
        calibration=bins,
        ece=None if bins is None else calibration_error(bins),
    )


def _badness(labels: Sequence[Label]) -> np.ndarray:
    return np.array([label.badness for label in labels if isinstance(label, Rating)])


def _order(labels: Sequence[Label], scores: np.ndarray) -> _Order | None:
    """None if no two of the texts were ordered by people."""
    if not labels:
        return None
    if isinstance(labels[0], Pair):
        margins = scores[:, 1] - scores[:, 0]  # rejected - chosen
        right = np.where(margins == 0, 0.5, margins > 0)
        return _Order(float(right.mean()), (right - right.mean()) / len(right))
    return concordance(_badness(labels), scores[:, 0])


def concordance(badness: np.ndarray, scores: np.ndarray) -> _Order | None:
    """Share of the pairs with different ratings that the scores order alike, float64 [labels] each; equal scores count half.

    The influence of a label is the derivative of the share with respect to its weight. None if all ratings are equal.
    """
    levels, level = np.unique(badness, return_inverse=True)
    alike = np.zeros(len(scores))  # of the pairs of each label, how many are in the same order
    different = len(scores) - np.bincount(level)[level].astype(np.float64)  # how many pairs it has
    by_level = [np.sort(scores[level == number]) for number in range(len(levels))]
    for number in range(len(levels)):
        own = level == number
        for other, sorted_scores in enumerate(by_level):
            if other != number:
                lower = (
                    np.searchsorted(sorted_scores, scores[own], "left")
                    + np.searchsorted(sorted_scores, scores[own], "right")
                ) / 2
                alike[own] += lower if other < number else len(sorted_scores) - lower
    num_pairs = different.sum() / 2
    if not num_pairs:
        return None
    value = float(alike.sum() / 2 / num_pairs)
    return _Order(value, (alike - value * different) / num_pairs)


def _interval(order: _Order | None, groups: np.ndarray) -> Interval:
    """95% interval over groups of connected labels."""
    if order is None:
        return UNKNOWN
    if order.value in (0.0, 1.0):  # all alike: what was never seen may still exist
        return mean_interval(np.full(len(groups), order.value), groups.tolist(), (0.0, 1.0))
    return _clustered(order.value, order.influence, groups, (0.0, 1.0))


def _difference(order: _Order | None, first: _Order | None, groups: np.ndarray) -> Interval:
    if order is None or first is None:
        return UNKNOWN
    return _clustered(order.value - first.value, order.influence - first.influence, groups, (-1.0, 1.0))


def _clustered(value: float, influence: np.ndarray, groups: np.ndarray, bounds: tuple[float, float]) -> Interval:
    count = len(influence)
    independent = influence_estimate(value, influence, np.full(count, 1 / count))
    _, numbers = np.unique(groups, return_inverse=True)
    if numbers.max() == 0:
        return independent.interval(bounds)
    shares = np.bincount(numbers) / count
    return influence_estimate(value, np.bincount(numbers, influence), shares, independent, count).interval(bounds)


def _plain(interval: Interval) -> Mapping[str, float | None]:
    return {
        "estimate": finite_or_none(interval.mean),
        "low": finite_or_none(interval.low),
        "high": finite_or_none(interval.high),
    }
