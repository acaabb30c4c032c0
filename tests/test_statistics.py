"""Intervals: by hand, and whether they hold the truth as often as they say."""

import math
import statistics

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from phf.statistics import (
    Interval,
    bootstrap,
    difference,
    mean_estimate,
    mean_interval,
    ratio_estimate,
    student_interval,
)

HALF = 12.7062
"""The 97.5% quantile of Student's t with 1 degree of freedom."""


def prompts(count, each):
    return [str(i) for i in range(count) for _ in range(each)]


def test_without_skewness_it_is_students_interval():
    """1, 2, 3: mean 2, standard error 1 / sqrt(3), t(2) = 4.30265."""
    half = 4.30265 / math.sqrt(3)
    for interval in (mean_interval([1.0, 2.0, 3.0]), student_interval([1.0, 2.0, 3.0])):
        assert interval == pytest.approx((2, 2 - half, 2 + half), rel=1e-5)
    many = [float(i) for i in range(50)]
    assert mean_interval(many).high == pytest.approx(24.5 + 2.00958 * statistics.stdev(many) / math.sqrt(50), rel=1e-4)


def test_nothing_is_known_from_one_value_or_none_or_values_that_are_all_alike():
    for values in ([0.25], [0.1] * 20, [0.0] * 500):
        interval = mean_interval(values)
        assert interval.mean == values[0]
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert all(math.isnan(number) for number in mean_interval([]))
    assert math.isnan(mean_interval([0.5], bounds=(0, 1)).low)
    assert math.isnan(student_interval([0.5]).low)
    assert math.isnan(student_interval([0.5, 0.5]).low)
    assert math.isnan(mean_interval([0.1] * 6, prompts(2, 3)).low)


def test_of_values_that_are_all_alike_the_rest_of_their_range_has_not_been_seen():
    """500 zeros: Wilson's upper bound, z^2 / (500 + z^2). Of 20 prompts no more is known than of 20 samples."""
    assert mean_interval([0.0] * 500, bounds=(0, 1)) == pytest.approx((0, 0, 3.8415 / 503.8415), rel=1e-4)
    unseen = 2.09302**2 / (20 + 2.09302**2)
    assert mean_interval([0.0] * 500, prompts(20, 25), (0, 1)) == pytest.approx((0, 0, unseen), rel=1e-4)
    assert mean_interval([0.5] * 500, prompts(20, 25), (0, 1)) == pytest.approx(
        (0.5, 0.5 - unseen / 2, 0.5 + unseen / 2), rel=1e-4
    )


def test_two_prompts_are_two_samples():
    """100 samples of 1 and 100 of 0: all that is known is the means of two prompts, 0 and 1."""
    mean, low, high = mean_interval([1.0] * 100 + [0.0] * 100, prompts(2, 100))
    assert mean == 0.5
    assert 0 <= low < 0.01
    assert 0.99 < high <= 1
    values = [0.9 + 1e-9 * i for i in range(100)] + [0.1 + 1e-9 * i for i in range(100)]
    assert mean_interval(values, prompts(2, 100)) == pytest.approx((0.5, 0.5 - HALF * 0.4, 0.5 + HALF * 0.4), abs=1e-5)
    assert mean_interval(values, prompts(2, 100), (0, 1)) == pytest.approx((0.5, 0, 1), abs=1e-5)


def test_one_prompt_for_all_samples_counts_as_no_prompt():
    """Given the prompt its samples are independent."""
    values = np.random.default_rng(0).random(40).tolist()
    assert mean_interval(values, ["p"] * 40) == mean_interval(values) == mean_interval(values, list(range(40)))


def test_a_share_is_wilsons():
    """5 of 100: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)."""
    values = [1.0] * 5 + [0.0] * 95
    expected = (0.05, 0.02154, 0.11175)
    assert mean_interval(values) == pytest.approx(expected, abs=3e-4)
    scaled = mean_interval([3 + 0.2 * value for value in values])  # any two values that come again and again
    assert scaled == pytest.approx([3 + 0.2 * value for value in expected], abs=1e-4)


def test_a_long_tail_makes_the_interval_reach_further_on_its_side():
    values = [0.0] * 95 + [0.3, 0.4, 0.5, 0.7, 0.9]
    mean, low, high = mean_interval(values)
    assert 0 < mean - low < high - mean
    mirrored = mean_interval([-value for value in values])
    assert mirrored == pytest.approx((-mean, -high, -low))


def test_clusters_of_unequal_size_by_hand():
    """Totals 3 of 3 and 0 of 1: 3/4. Of two wholly alike clusters of means 1 and 0 the variance is estimated as 1/2, so
    that of the mean is 1/2 (9/16 + 1/16)."""
    estimate = ratio_estimate(np.array([3.0, 0.0, 0.0]), np.array([3.0, 1.0, 0.0]))
    assert estimate.value == 0.75
    assert estimate.variance == pytest.approx(0.5 * 10 / 16)
    assert estimate.degrees == pytest.approx(1)


def test_clusters_of_equal_size_have_the_variance_of_their_means():
    estimate = mean_estimate(np.array([1.0, 3.0, 5.0, 7.0, 3.0, 3.0, 9.0, 8.0]), prompts(4, 2))
    assert estimate.variance == pytest.approx(statistics.variance([2, 6, 3, 8.5]) / 4)
    assert estimate.degrees == pytest.approx(3)


@pytest.mark.parametrize("hit", [1.0, 0.7])
def test_prompts_whose_means_are_equal_by_chance_do_not_make_the_mean_known(hit):
    values = [0.0, hit] * 2 + [0.0, hit] * 10
    interval = mean_interval(values, ["p"] * 4 + ["q"] * 20)
    assert interval.mean == pytest.approx(hit / 2)
    assert interval.low < interval.mean - 0.1
    assert interval.high > interval.mean + 0.1
    assert mean_estimate(np.array(values), ["p"] * 4 + ["q"] * 20).variance == pytest.approx(hit**2 / 4 / 23 / 2)


def test_degrees_of_freedom_are_those_of_the_prompts_that_matter():
    """Five prompts with 30 samples each count for more than 45 with one."""
    values = np.repeat([1.0, 2.0, 4.0, 7.0, 8.0], 30).tolist() + np.linspace(1, 8, 45).tolist()
    estimate = mean_estimate(np.array(values), prompts(5, 30) + [f"single {i}" for i in range(45)])
    assert 4 < estimate.degrees < 5


def test_where_one_prompt_has_nearly_all_samples_little_is_known():
    values = np.random.default_rng(0).normal(size=1000)
    values[:990] += 1
    labels = ["p"] * 990 + [str(i) for i in range(10)]
    interval = mean_interval(values, labels)
    assert interval.high - interval.low > 2
    hits = mean_interval([0.0] * 1000, labels, (0, 1))  # not: at most some 30% of what was never seen
    assert hits.high > 0.99


def test_a_difference_has_the_degrees_of_freedom_of_welch():
    first, second = mean_estimate(np.array([0.4, 0.6])), mean_estimate(np.array([0.0, 0.4]))
    estimate = difference(first, second)
    assert (estimate.value, estimate.variance) == (pytest.approx(-0.3), pytest.approx(0.05))
    assert estimate.degrees == pytest.approx(0.05**2 / (0.01**2 + 0.04**2))
    same = difference(mean_estimate(np.array([0.5, 0.5])), mean_estimate(np.array([0.25, 0.25])))
    assert math.isnan(same.interval().low)


def rare(share, magnitude):
    return lambda generator, shape: (generator.random(shape) < share) * magnitude(generator, shape)


def ones(_generator, shape):
    return np.ones(shape)


def exponential(generator, shape):
    return generator.exponential(size=shape)


def of_prompts(generator, shape):
    """Shares that differ between prompts, as toxicity does: mean 0.3."""
    return (generator.random(shape) < generator.beta(0.3, 0.7, (shape[0], 1))) * 1.0


def skewed(generator, shape):
    """Means of prompts and samples both log-normal."""
    return generator.lognormal(0, 0.5, (shape[0], 1)) * generator.lognormal(0, 0.8, shape)


MANY = [(20, 25), (1, 500), (500, 1)]
DESIGNS = [
    *((name, shape, rare(share, size), share) for shape in MANY
      for name, share, size in (("rare hits", 0.01, ones), ("rare scores", 0.02, exponential))),
    *(("exponential", shape, exponential, 1.0) for shape in MANY),
    ("prompts that differ", (20, 25), of_prompts, 0.3),
    ("prompts that differ", (500, 1), of_prompts, 0.3),
    ("skewed prompts", (20, 25), skewed, math.exp(0.5**2 / 2 + 0.8**2 / 2)),
    ("skewed prompts", (50, 10), skewed, math.exp(0.5**2 / 2 + 0.8**2 / 2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "draw", "truth"), [d[1:] for d in DESIGNS], ids=[f"{d[0]} {d[1][0]}x{d[1][1]}" for d in DESIGNS]
)
def test_the_interval_holds_the_mean_as_often_as_it_says(shape, draw, truth):
    """Of 800 samples, 95% give or take 2.3% are three standard errors."""
    generator, clusters = np.random.default_rng(2), prompts(*shape)
    held = 0
    for _ in range(800):
        interval = mean_interval(draw(generator, shape).ravel(), clusters)
        held += interval.low <= truth <= interval.high
    assert 0.92 <= held / 800 <= 0.97


def mixed(correlation, of_normal):
    """Draws for prompts of any size: `of_normal` of a normal value that samples of a prompt have in part in common."""

    def draw(generator, sizes):
        own = np.repeat(generator.standard_normal(len(sizes)), sizes)
        return of_normal(
            math.sqrt(correlation) * own + math.sqrt(1 - correlation) * generator.standard_normal(own.size)
        )

    return draw


def unskewed(normal):
    return normal


def long_tailed(normal):
    return -np.log(ndtr(-normal))


def hits(share):
    return lambda normal: (normal < ndtri(share)) * 1.0


FEW_LARGE = [30] * 5 + [1] * 45
ONE_HALF = [50] + [1] * 50
UNEVEN = {
    "few large prompts, shares": (FEW_LARGE, mixed(0.3, hits(0.5)), 0.5),
    "few large prompts, rarer hits": (FEW_LARGE, mixed(0.3, hits(0.1)), 0.1),
    "few large prompts, hardly alike": (FEW_LARGE, mixed(0.1, unskewed), 0.0),
    "one prompt with half": (ONE_HALF, mixed(0.3, unskewed), 0.0),
    "one prompt with half, long tail": (ONE_HALF, mixed(0.3, long_tailed), 1.0),
    "ten prompts": ([1, 2, 3, 5, 8, 12, 20, 30, 50, 80], mixed(0.3, unskewed), 0.0),
    "two of many": ([100] * 2 + [1] * 200, mixed(0.3, unskewed), 0.0),
    "geometric": (np.random.default_rng(1).geometric(0.05, 20).tolist(), mixed(0.3, unskewed), 0.0),
    "geometric, much alike": (np.random.default_rng(1).geometric(0.05, 20).tolist(), mixed(0.9, unskewed), 0.0),
}


@pytest.mark.parametrize(("sizes", "draw", "truth"), UNEVEN.values(), ids=UNEVEN)
def test_prompts_with_more_samples_than_others_do_not_narrow_the_interval(sizes, draw, truth):
    generator, clusters = np.random.default_rng(5), np.repeat(np.arange(len(sizes)), sizes).tolist()
    held = 0
    for _ in range(800):
        interval = mean_interval(draw(generator, sizes), clusters)
        held += interval.low <= truth <= interval.high
    assert 0.92 <= held / 800 <= 0.98, held / 800


LIMITS = {
    "few large prompts, rare hits, much alike": (FEW_LARGE, mixed(0.9, hits(0.1)), 0.1, (0.7, 0.85)),
    "few large prompts, long tail, much alike": (FEW_LARGE, mixed(0.9, long_tailed), 1.0, (0.8, 0.92)),
    "two of many, much alike": ([100] * 2 + [1] * 200, mixed(0.9, unskewed), 0.0, (0.96, 1.0)),
}


@pytest.mark.parametrize(("sizes", "draw", "truth", "coverage"), LIMITS.values(), ids=LIMITS)
def test_the_limits_of_the_coverage_are_those_of_the_documentation(sizes, draw, truth, coverage):
    """docs/metrics.md: too narrow where few prompts dominate skewed scores, too wide where two have half the samples."""
    generator, clusters = np.random.default_rng(7), np.repeat(np.arange(len(sizes)), sizes).tolist()
    intervals = [mean_interval(draw(generator, sizes), clusters) for _ in range(400)]
    share = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert coverage[0] <= share <= coverage[1], share


def test_the_bootstrap_of_a_mean_is_that_of_the_mean():
    values = list(np.random.default_rng(0).normal(5, 2, 400))
    error, interval = bootstrap(values, lambda resampled: float(np.mean(resampled)), 500)
    assert interval.mean == pytest.approx(np.mean(values))
    assert error == pytest.approx(np.std(values, ddof=1) / 20, rel=0.1)
    assert interval == pytest.approx(mean_interval(values), abs=0.03)
    assert bootstrap(values, max, 20) == bootstrap(values, max, 20)


def test_a_scaled_interval_is_that_of_the_scaled_quantity():
    assert Interval(2.0, 1.0, 4.0).scaled(60) == (120, 60, 240)
