"""Intervals: how well a mean, or the difference of two means, is known from a sample.

Samples of one prompt are alike, so what counts is the number of prompts: variances are those of whole clusters (samples
of the same prompt, tokens of the same document). Scores are skewed and hits are rare, so the quantiles of Student's t are
corrected for skewness, and shares get Wilson's interval. Simulations of the coverage are in `tests/test_statistics.py`.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
SKEWNESS_USED = 0.8
"""Share of the estimated skewness that is corrected for on the long side: with all of it, intervals of rare hits are
too wide there."""
LEAST_VARIANCE = 0.5
"""Of the variance that independent samples would have: the means of few prompts may be equal by chance."""
UNBOUNDED = (-math.inf, math.inf)


class Interval(NamedTuple):
    """An estimate with its 95% interval; bounds are NaN where nothing is known of them."""

    mean: float
    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan, math.nan)


class Estimate(NamedTuple):
    """An estimate with what its interval is made of."""

    value: float
    variance: float
    """Of the estimate, not of the values; NaN where there is nothing to tell it by."""
    skew: float
    """Third central moment of the estimate."""
    degrees: float
    """Degrees of freedom of the variance."""

    def interval(self, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
        """Student's 95% interval, corrected for skewness (Hall, 1992, J. R. Statist. Soc. B 54, 221-228)."""
        if not self.variance > 0:  # no values, one cluster, or all alike
            return Interval(self.value, math.nan, math.nan)
        error, quantile = math.sqrt(self.variance), students_quantile(self.degrees)
        skewness = self.skew / error**3
        low, high = (self.value - error * _unskewed(y, skewness) for y in (quantile, -quantile))
        return Interval(self.value, max(low, bounds[0]), min(high, bounds[1]))


def mean_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """Mean over all values with its 95% interval; NaN bounds where values do not tell how well it is known.

    Args:
        clusters: what each value belongs to, such as its prompt; values of different clusters are independent, those of
            one cluster are not. None, or one cluster for all: all are independent, given that cluster.
        bounds: the least and the largest value there can be.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return UNKNOWN
    estimate = mean_estimate(array, clusters)
    found, counts = np.unique(array, return_counts=True)
    if found.size == 1 and np.isfinite(bounds).all():
        # all alike: what was never seen has at most this share
        unseen = _share_interval(estimate._replace(value=0.0), array.size, clusters).high
        value = estimate.value
        return Interval(value, value - unseen * (value - bounds[0]), value + unseen * (bounds[1] - value))
    if found.size == 2 and (counts.min() > 1 or (found == (0, 1)).all()):
        # two values again and again, such as 0 and 1: their mean is known as well as the share of one of them
        least, width = found[0], found[1] - found[0]
        share = Estimate((estimate.value - least) / width, estimate.variance / width**2, 0.0, estimate.degrees)
        _, low, high = _share_interval(share, array.size, clusters)
        return Interval(estimate.value, float(least + width * low), float(least + width * high))
    return estimate.interval(bounds)


def mean_estimate(values: np.ndarray, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """The mean over all values, with the variance that the means of whole clusters have."""
    totals, counts = np.asarray(values, dtype=np.float64), np.ones(len(values))
    if clusters is not None and (codes := numbered(clusters)).max(initial=0) > 0:
        independent = ratio_estimate(totals, counts)
        clustered = ratio_estimate(np.bincount(codes, totals), np.bincount(codes))
        return clustered._replace(variance=max(clustered.variance, LEAST_VARIANCE * independent.variance))
    return ratio_estimate(totals, counts)


def ratio_estimate(totals: np.ndarray, sizes: np.ndarray) -> Estimate:
    """Sum of `totals` / sum of `sizes` over independent clusters, which differ in size. Empty clusters count for nothing.

    The variance is that of the linearised ratio.
    """
    totals, sizes = totals[sizes > 0], sizes[sizes > 0]
    if sizes.size == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    value = float(totals.sum() / sizes.sum())
    if (totals == sizes * (totals[0] / sizes[0])).all():  # exactly alike, but for how sums are rounded
        return Estimate(float(totals[0] / sizes[0]), 0.0 if sizes.size > 1 else math.nan, 0.0, sizes.size - 1)
    return influence_estimate(value, (totals - value * sizes) / sizes.sum())


def influence_estimate(value: float, influence: np.ndarray) -> Estimate:
    """An estimate whose independent parts move it by `influence`, each; their sum is 0."""
    count = influence.size
    if count < 2:
        return Estimate(value, math.nan, math.nan, count - 1)
    variance = float((influence**2).sum() * count / (count - 1))
    # Fisher's third k-statistic, without which few values seem less skewed than they are
    skew = 0.0 if count < 3 else float((influence**3).sum() * count**2 / ((count - 1) * (count - 2)))
    return Estimate(value, variance, skew, count - 1)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Second - first, of independent samples; degrees of freedom by Welch and Satterthwaite."""
    variances = (first.variance, second.variance)
    total = sum(variances)
    parts = sum(v * v / d for v, d in zip(variances, (first.degrees, second.degrees), strict=True) if d > 0)
    degrees = total * total / parts if parts > 0 else math.nan
    return Estimate(second.value - first.value, total, second.skew - first.skew, degrees)


def student_interval(values: Sequence[float] | np.ndarray, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """Mean of a few values of about normal distribution (of seeds, of trials) with Student's 95% interval.

    `bounds`: the least and the largest value there can be; the interval ends there.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return UNKNOWN
    mean, degrees = float(array.mean()), array.size - 1
    if array.min() == array.max():  # one value, or all alike
        return Interval(float(array[0]), math.nan, math.nan)
    half = students_quantile(degrees) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]))


def students_quantile(degrees: float) -> float:
    """The 97.5% quantile of Student's t."""
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def numbered(labels: Sequence[Hashable]) -> np.ndarray:
    """0 for the first label and those equal to it, 1 for the next, and so on."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def _unskewed(y: float, skewness: float) -> float:
    """The quantile of a skewed t that belongs to the quantile `y` of one that is not: inverse of Hall's cubic."""
    if y * skewness < 0:
        skewness *= SKEWNESS_USED
    if abs(skewness) < 1e-6:
        return y
    return 3 / skewness * (float(np.cbrt(1 + skewness * (y - skewness / 6))) - 1)


def _share_interval(estimate: Estimate, num_values: int, clusters: Sequence[Hashable] | None) -> Interval:
    """Wilson's interval of a share, with as many independent samples as the clusters are worth.

    Where all samples agree, the clusters are all that is known to be independent.
    """
    num_clusters = num_values if clusters is None else int(numbered(clusters).max()) + 1
    is_clustered = 1 < num_clusters < num_values
    share = estimate.value
    if num_values < 2:
        return Interval(share, math.nan, math.nan)
    quantile = students_quantile(num_clusters - 1 if is_clustered else math.inf)
    of_one = share * (1 - share) * num_values / (num_values - 1)
    size = of_one / estimate.variance if of_one > 0 else num_clusters if is_clustered else num_values
    spread = quantile**2 / size
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))
