"""Intervals: how well a mean, or the difference of two means, is known from a sample.

Samples of one prompt are alike, so what counts is the number of prompts: variances are those of whole clusters (samples
of the same prompt, tokens of the same document). Scores are skewed and hits are rare, so the quantiles of Student's t are
corrected for skewness, and shares get Wilson's interval. Simulations of the coverage are in `tests/test_statistics.py`.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

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
    """An estimate with its 95% interval; bounds are NaN where they are unknown."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """The interval of `factor` times the quantity; `factor` is positive."""
        return Interval(*(factor * value for value in self))

    def excludes_zero(self) -> bool:
        """Whether the bounds are known and 0 is not between them."""
        return not math.isnan(self.low) and not math.isnan(self.high) and not self.low <= 0 <= self.high

    def drawn(self) -> "Interval":
        """With the mean in place of bounds that are unknown, as charts draw it: a point without a bar."""
        low, high = (self.mean if math.isnan(bound) else bound for bound in (self.low, self.high))
        return Interval(self.mean, low, high)


UNKNOWN = Interval(math.nan, math.nan, math.nan)


class Estimate(NamedTuple):
    """An estimate and what its interval is computed from."""

    value: float
    variance: float
    """Variance of the estimate, not of the values; NaN where it cannot be estimated."""
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
    """Mean over all values with its 95% interval; NaN bounds where the values do not determine its precision.

    Args:
        clusters: what each value belongs to, such as its prompt; values of different clusters are independent, those of
            one cluster are not. None, or one cluster for all: all are independent, given that cluster.
        bounds: the smallest and the largest possible value.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return UNKNOWN
    estimate = mean_estimate(array, clusters)
    distinct, counts = np.unique(array, return_counts=True)
    if distinct.size == 1 and np.isfinite(bounds).all():
        # all alike: what was never seen has at most this share
        unseen = _share_interval(estimate._replace(value=0.0), array.size, clusters).high
        value = estimate.value
        return Interval(value, value - unseen * (value - bounds[0]), value + unseen * (bounds[1] - value))
    if distinct.size == 2 and (counts.min() > 1 or (distinct == (0, 1)).all()):
        # only two distinct values, such as 0 and 1: their mean is as certain as the share of one of them
        least, width = distinct[0], distinct[1] - distinct[0]
        share = Estimate((estimate.value - least) / width, estimate.variance / width**2, 0.0, estimate.degrees)
        _, low, high = _share_interval(share, array.size, clusters)
        return Interval(estimate.value, float(least + width * low), float(least + width * high))
    return estimate.interval(bounds)


def mean_estimate(values: np.ndarray, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """The mean over all values, with the variance that the means of whole clusters have."""
    totals, counts = np.asarray(values, dtype=np.float64), np.ones(len(values))
    independent = ratio_estimate(totals, counts)
    if clusters is not None and (codes := numbered(clusters)).max(initial=0) > 0:
        return ratio_estimate(np.bincount(codes, totals), np.bincount(codes), independent)
    return independent


def ratio_estimate(totals: np.ndarray, sizes: np.ndarray, independent: Estimate | None = None) -> Estimate:
    """Sum of `totals` / sum of `sizes` over independent clusters, which differ in size. Empty clusters are ignored.

    The variance is that of the linearised ratio. `independent`: see `influence_estimate`.
    """
    totals, sizes = totals[sizes > 0], sizes[sizes > 0]
    if sizes.size == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    shares = sizes / sizes.sum()
    value = float(totals.sum() / sizes.sum())
    if (totals == sizes * (totals[0] / sizes[0])).all():  # all alike, except for the rounding of sums
        value, influence = float(totals[0] / sizes[0]), np.zeros(sizes.size)
    else:
        influence = (totals - value * sizes) / sizes.sum()
    return influence_estimate(value, influence, shares, independent, int(sizes.sum()))


def influence_estimate(
    value: float,
    influence: np.ndarray,
    shares: np.ndarray,
    independent: Estimate | None = None,
    num_values: int = 0,
) -> Estimate:
    """An estimate that each of its independent parts, clusters of values, moves by its `influence`; these add up to 0.

    Args:
        shares: of all values, those in each cluster.
        independent: the same estimate as if all values were independent, which tells how alike those of one cluster
            are; without it they are assumed to be completely alike, which errs on the safe side where sizes differ.
        num_values: how many values there are, with `independent`.
    """
    count = influence.size
    if count < 2:
        return Estimate(value, math.nan, math.nan, count - 1)
    alike = 1.0
    if independent is not None and independent.variance > 0 and (excess := num_values * (shares**2).sum() - 1) > 1e-9:
        # the design effect is 1 + excess * correlation; the second factor makes up for what clusters hide from the
        # variance of independent values
        effect = (influence**2 / (1 - shares)).sum() / independent.variance
        alike = float(np.clip((effect - 1) / (excess * (1 + effect / (num_values - 1))), 0, 1))
    factors, degrees = corrections(shares, shares * (1 - alike) / max(num_values, 1) + shares**2 * alike)
    variance = float((influence**2 * factors).sum())
    # Fisher's third k-statistic, without which few values seem less skewed than they are
    unbiased = math.sqrt(count * (count - 1)) / (count - 2) if count > 2 else 0.0
    skew = float((influence**3 * factors**1.5).sum()) * unbiased
    if independent is not None:
        variance = max(variance, LEAST_VARIANCE * independent.variance)
    return Estimate(value, variance, skew, degrees)


def corrections(shares: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, float]:
    """(what each cluster's squared influence is multiplied with, degrees of freedom of their sum).

    A cluster pulls the mean towards itself, so a large one deviates from it less than from the truth. With the factors
    the sum's expectation is right for clusters that move the mean by `variances` (up to a constant); the degrees of
    freedom are those of Satterthwaite (Bell and McCaffrey, 2002, Survey Methodology 28, 169-181). For equal clusters the
    factors are count / (count - 1), the degrees count - 1.
    """
    total = variances.sum()
    kept = variances * (1 - shares) ** 2 + shares**2 * (total - variances)  # after the mean is subtracted
    factors = variances / kept
    # Squares of the covariances of all pairs, summed: of g and h it is total w_g w_h - w_g v_h - v_g w_h
    own, cross, other = ((factors * x).sum() for x in (shares**2, shares * variances, variances**2))
    pairs = 2 * own * other + 2 * cross**2 + total**2 * own**2 - 4 * total * own * cross
    pairs -= (factors**2 * (kept - variances) ** 2).sum()
    return factors, float(total**2 / (pairs + (variances**2).sum()))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Second - first, of independent samples; degrees of freedom by Welch and Satterthwaite."""
    variances = (first.variance, second.variance)
    total = sum(variances)
    parts = sum(v * v / d for v, d in zip(variances, (first.degrees, second.degrees), strict=True) if d > 0)
    degrees = total * total / parts if parts > 0 else math.nan
    return Estimate(second.value - first.value, total, second.skew - first.skew, degrees)


def student_interval(values: Sequence[float] | np.ndarray, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """Mean of a few approximately normal values (over seeds, over trials) with Student's 95% interval.

    `bounds`: the smallest and the largest possible value; the interval ends there.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return UNKNOWN
    mean, degrees = float(array.mean()), array.size - 1
    if array.min() == array.max():  # one value, or all alike
        return Interval(float(array[0]), math.nan, math.nan)
    half = students_quantile(degrees) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]))


def difference_of_seeds(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Mean of second - mean of first, of one number for each seed, with the 95% interval of Welch and Satterthwaite.

    Without bounds where the spread between the seeds of one of them is not known; unknown where one has no number.
    """
    if not first or not second:
        return UNKNOWN
    estimates = [mean_estimate(np.array(values)) for values in (first, second)]
    interval = difference(*estimates)._replace(skew=0.0).interval()  # a few seeds say nothing about their skewness
    return interval if min(len(first), len(second)) > 1 else Interval(interval.mean, math.nan, math.nan)


def bootstrap(
    values: Sequence[Any], statistic: Callable[[list[Any]], float], num_resamples: int, seed: int = 0
) -> tuple[float, Interval]:
    """(standard error, the statistic of all values with its 95% percentile interval) of at least two independent values.

    For statistics that are not means, such as a correlation or F1: those have better intervals above.
    """
    generator = np.random.default_rng(seed)
    count = len(values)
    resampled = [statistic([values[i] for i in generator.integers(count, size=count)]) for _ in range(num_resamples)]
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(np.std(resampled, ddof=1)), Interval(float(statistic(list(values))), float(low), float(high))


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
    sizes = np.ones(num_values) if clusters is None else np.bincount(numbered(clusters))
    is_clustered = 1 < sizes.size < num_values
    share = estimate.value
    if num_values < 2:
        return Interval(share, math.nan, math.nan)
    quantile = students_quantile(estimate.degrees if is_clustered else math.inf)
    of_one = share * (1 - share) * num_values / (num_values - 1)
    unlike = num_values**2 / float((sizes**2).sum()) if is_clustered else num_values  # Kish's effective number
    size = of_one / estimate.variance if of_one > 0 else unlike
    spread = quantile**2 / size
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))
