"""Bins that show a distribution of scores: evenly spaced, or logarithmic if scores span orders of magnitude."""

from dataclasses import dataclass

import numpy as np

from phf.corpus.distribution import COUNT, Distribution

NUM_BINS = 16
LOG_SPAN = 100.0
"""Bins are logarithmic where the 99th percentile of the positive scores is this many times the 1st."""


@dataclass(frozen=True)
class Bin:
    """Scores in (low, high]; the first bin includes its `low`, and a bin of a single value has low == high."""

    low: float
    high: float
    share: float
    """Share of all scores of the level, in [0, 1]."""


def histogram(distribution: Distribution, num_bins: int = NUM_BINS) -> list[Bin]:
    """The bins of a distribution in ascending order; empty if there are no scores.

    Zero, which many scores are, has its own bin. The last bin reaches to the highest score.
    """
    scores, amounts = distribution.sorted_scores()
    if not len(scores):
        return []
    counts = amounts[:, COUNT] / amounts[:, COUNT].sum()
    scores = scores.astype(np.float64)
    bins = []
    has_zero = scores[0] == 0
    if has_zero:
        bins.append(Bin(0.0, 0.0, float(counts[0])))
        scores, counts = scores[1:], counts[1:]
    if not len(scores):
        return bins
    edges = _edges(scores, counts, num_bins)
    if has_zero:
        edges[0] = 0.0
    owners = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, len(edges) - 2)
    shares = np.bincount(owners, counts, len(edges) - 1)
    return bins + [
        Bin(float(low), float(high), float(share)) for low, high, share in zip(edges, edges[1:], shares, strict=False)
    ]


def _edges(scores: np.ndarray, counts: np.ndarray, num_bins: int) -> np.ndarray:
    shares = counts.cumsum() / counts.sum()
    low, high = (float(scores[np.searchsorted(shares, share)]) for share in (0.01, 0.99))
    if scores[0] == scores[-1]:
        return scores[[0, 0]]
    if scores[0] == high:  # nearly all scores are the lowest one
        high = float(scores[-1])
    if low > 0 and high / low > LOG_SPAN:
        edges = np.geomspace(low, high, num_bins)
    else:
        edges = np.linspace(scores[0], high, num_bins)
    edges[0] = min(edges[0], scores[0])
    return np.append(edges, scores[-1]) if scores[-1] > edges[-1] else edges


def labels(bins: list[Bin]) -> list[tuple[str, str]]:
    """(low, high) of each bin in as few digits, at least 3, as distinguish the edges."""
    edges = {edge for bin in bins for edge in (bin.low, bin.high)}
    digits = next((n for n in range(3, 9) if len({f"{edge:.{n}g}" for edge in edges}) == len(edges)), 9)
    return [(f"{bin.low:.{digits}g}", f"{bin.high:.{digits}g}") for bin in bins]
