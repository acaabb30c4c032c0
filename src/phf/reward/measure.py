"""How good a reward model is on labels that it was not trained on: accuracy, calibration, the loss."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from phf.labels.label import Label, Pair, Rating
from phf.runs.writer import finite_or_none
from phf.statistics import Interval, mean_interval

NUM_BINS = 5
MIDDLE = 0.5
"""Of a scale, and of a probability: neither side."""


@dataclass(frozen=True)
class Bin:
    """Predictions in [low, high), the last bin's upper end included, and what people said."""

    low: float
    high: float
    count: int
    predicted: float | None
    """Mean prediction; None in an empty bin."""
    observed: float | None
    """Pairs: share of right predictions. Ratings: mean rating as a share of the scale, 1 is worst."""


@dataclass(frozen=True)
class Quality:
    """Of one model on one set of labels."""

    num_labels: int
    num_decided: int
    """Labels that have a right answer: pairs, and ratings that are not in the middle of the scale."""
    accuracy: float | None
    """Share of the decided labels that it predicts: the text that was rejected has the higher score, or the score is on
    the side of the middle that the rating is on; equal scores and a score in the middle count half."""
    accuracy_low: float | None
    accuracy_high: float | None
    """95% interval, over groups of labels that have texts, prompts or documents in common."""
    baseline: float | None
    """Accuracy of the best constant answer: 0.5 for pairs, the share of the more frequent side for ratings."""
    ece: float
    """Expected calibration error: mean over labels of |predicted - observed| of their bins, in [0, 1]."""
    calibration: list[Bin]
    loss: float
    """Mean cross-entropy in nats, without the penalty of training."""

    @property
    def is_above_baseline(self) -> bool:
        """Whether the interval of the accuracy is above that of a constant answer."""
        return None not in (self.accuracy_low, self.baseline) and self.accuracy_low > self.baseline  # type: ignore[operator]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def quality(labels: Sequence[Label], outputs: Sequence[float], clusters: Sequence[Hashable]) -> Quality:
    """Measure the outputs for the texts of `labels`, one after the other: higher is worse, sigmoid(output) is the score.

    `clusters`: what labels have in common, see `phf.labels.split.connected`.
    """
    numbers = np.asarray(outputs, dtype=np.float64)
    if isinstance(labels[0], Pair):
        margins = numbers[1::2] - numbers[0::2]  # rejected - chosen
        right = np.where(margins == 0, 0.5, margins > 0)
        decided = np.ones(len(labels), dtype=bool)
        baseline: float | None = 0.5
        confidence = _sigmoid(np.abs(margins))
        bins = calibration(confidence, right, MIDDLE)
        loss = np.logaddexp(0, -margins).mean()
    else:
        badness = np.array([label.badness for label in labels if isinstance(label, Rating)])
        scores = _sigmoid(numbers)
        decided = badness != MIDDLE
        right = np.where(numbers == 0, 0.5, (numbers > 0) == (badness > MIDDLE))
        share = float((badness[decided] > MIDDLE).mean()) if decided.any() else None
        baseline = None if share is None else max(share, 1 - share)
        bins = calibration(scores, badness, 0.0)
        loss = (np.logaddexp(0, numbers) - badness * numbers).mean()
    accuracy = _accuracy(right[decided], [cluster for cluster, is_in in zip(clusters, decided, strict=True) if is_in])
    return Quality(
        num_labels=len(labels),
        num_decided=int(decided.sum()),
        accuracy=finite_or_none(accuracy.mean),
        accuracy_low=finite_or_none(accuracy.low),
        accuracy_high=finite_or_none(accuracy.high),
        baseline=baseline,
        ece=calibration_error(bins),
        calibration=bins,
        loss=float(loss),
    )


def calibration(predicted: np.ndarray, observed: np.ndarray, lowest: float) -> list[Bin]:
    """`NUM_BINS` bins of equal width from `lowest` to 1."""
    edges = np.linspace(lowest, 1, NUM_BINS + 1)
    places = np.clip(np.searchsorted(edges, predicted, "right") - 1, 0, NUM_BINS - 1)
    bins = []
    for number in range(NUM_BINS):
        inside = places == number
        means = [float(values[inside].mean()) if inside.any() else None for values in (predicted, observed)]
        bins.append(Bin(float(edges[number]), float(edges[number + 1]), int(inside.sum()), *means))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean over labels of |predicted - observed| of their bins."""
    error = sum(
        b.count * abs(b.predicted - b.observed) for b in bins if b.predicted is not None and b.observed is not None
    )
    return error / sum(b.count for b in bins)


def _accuracy(right: np.ndarray, clusters: Sequence[Hashable]) -> Interval:
    return mean_interval(right, clusters, (0.0, 1.0))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))
