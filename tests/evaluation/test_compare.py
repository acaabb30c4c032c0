"""Differences between methods: paired by prompt where there are prompts, over seeds, and what is said of them."""

import math

import numpy as np
import pytest

from phf.errors import ConfigError
from phf.evaluation.compare import (
    PromptScores,
    choose_baseline,
    compare,
    compare_with_baseline,
    paired_difference,
    unpaired_difference,
)
from phf.runs.seeds import Group


def unprompted(scores):
    return PromptScores([""] * len(scores), list(scores))


def test_a_paired_difference_by_hand_leaves_out_what_is_unscored():
    """Pairs: 0.3 - 0.1, 0.2 - 0.2, and one with None; t with 1 degree of freedom: 0.1 +- 12.706 * 0.1."""
    interval, count = paired_difference(["a", "b", "c"], [0.1, 0.2, 0.5], [0.3, 0.2, None])
    assert (interval.mean, count) == (pytest.approx(0.1), 2)
    assert (interval.low, interval.high) == pytest.approx((0.1 - 1.27062, 0.1 + 1.27062), rel=1e-4)


def test_pairing_takes_out_what_prompts_have_in_common():
    """Scores that differ by 0.01 or 0.02 on each of 100 very different prompts: only the pairs show it."""
    prompts = [str(i) for i in range(100)]
    first = [i / 100 for i in range(100)]
    second = [score + 0.01 + 0.01 * (i % 2) for i, score in enumerate(first)]
    paired, _ = paired_difference(prompts, first, second)
    assert 0.0135 < paired.low < 0.015 < paired.high < 0.0165
    shuffled = PromptScores(prompts[::-1], second[::-1])  # the same prompts in another order are the same clusters
    assert unpaired_difference(PromptScores(prompts, first), shuffled)[0].low == pytest.approx(0.015, abs=0.15)
    independent, _ = unpaired_difference(unprompted(first), unprompted(second))
    assert independent.low < 0 < independent.high


def test_samples_of_one_prompt_count_together():
    """Ten samples each of two prompts with differences 0 and 1: as uncertain as two samples are."""
    prompts = ["a"] * 10 + ["b"] * 10
    interval, count = paired_difference(prompts, [0.0] * 20, [0.0] * 10 + [1.0] * 10)
    assert (interval.mean, count) == (0.5, 20)
    assert interval.low < -5
    assert interval.high > 5


def test_independent_sets_by_hand():
    """Means 0.5 and 0.2 of two samples each: variances 0.01 and 0.04, 1.47 degrees of freedom, t = 6.188."""
    interval, count = unpaired_difference(unprompted([0.4, 0.6, None]), unprompted([0.0, 0.4]))
    degrees = 0.05**2 / (0.01**2 + 0.04**2)
    assert degrees == pytest.approx(1.4706, abs=1e-4)
    assert (interval.mean, count) == (pytest.approx(-0.3), 2)
    assert interval.high - interval.mean == pytest.approx(6.18811 * math.sqrt(0.05), rel=1e-3)


@pytest.mark.parametrize("values", [[0.5, 0.5], [0.5]])
def test_differences_that_are_all_the_same_tell_no_interval(values):
    interval, count = unpaired_difference(unprompted(values), unprompted([0.25] * len(values)))
    assert interval.mean == -0.25
    assert count == len(values)
    assert math.isnan(interval.low)
    comparison = compare("s", ("a", [unprompted(values)]), ("b", [unprompted([0.25] * len(values))]))
    assert "no interval is known" in comparison.describe()
    assert "aligned" not in comparison.describe()


def coverage(first_seeds, second_seeds, num_prompts, per_prompt, between, interaction, trials=150):
    """Share of intervals that hold the true difference, 0, of methods on which prompts and seeds have effects."""
    generator, covered = np.random.default_rng(0), 0
    for _ in range(trials):
        prompts = [str(i) if num_prompts > 1 else "" for i in range(num_prompts) for _ in range(per_prompt)]
        effect = np.repeat(generator.normal(0, 1, num_prompts), per_prompt)
        other = effect + np.repeat(generator.normal(0, interaction, num_prompts), per_prompt)
        runs = [
            [
                PromptScores(prompts, (e + generator.normal(0, between) + generator.normal(0, 1, e.size)).tolist())
                for _ in range(seeds)
            ]
            for e, seeds in ((effect, first_seeds), (other, second_seeds))
        ]
        comparison = compare("s", ("a", runs[0]), ("b", runs[1]))
        covered += comparison.low <= 0 <= comparison.high
    return covered / trials


@pytest.mark.parametrize(
    ("first", "second", "prompts", "per_prompt", "between", "interaction"),
    [
        (1, 1, 20, 5, 0.0, 0.5),
        (3, 3, 20, 5, 0.3, 0.5),
        (3, 3, 20, 5, 0.05, 0.5),
        (1, 3, 20, 5, 0.3, 0.3),
        (3, 3, 1, 100, 0.2, 0.0),
    ],
)
def test_intervals_of_differences_cover_what_they_say(first, second, prompts, per_prompt, between, interaction):
    assert 0.9 <= coverage(first, second, prompts, per_prompt, between, interaction) <= 0.99


@pytest.mark.parametrize("is_paired", [True, False])
def test_prompts_with_more_samples_than_others_do_not_narrow_the_interval(is_paired):
    """Of 400 intervals; without regard to how uneven the prompts are about 80% held the true difference, 0."""
    generator, covered = np.random.default_rng(0), 0
    sizes = [1, 2, 3, 5, 8, 12, 20, 30, 50, 80]
    prompts = np.repeat(np.arange(10), sizes).astype(str).tolist()
    for _ in range(400):
        first, second = (
            math.sqrt(0.3) * np.repeat(generator.normal(size=10), sizes)
            + math.sqrt(0.7) * generator.normal(size=len(prompts))
            for _ in range(2)
        )
        if is_paired:
            interval, _ = paired_difference(prompts, first.tolist(), second.tolist())
        else:
            shuffled = generator.permutation(len(prompts))
            other = PromptScores([prompts[i] for i in shuffled], second[shuffled].tolist())
            interval, _ = unpaired_difference(PromptScores(prompts, first.tolist()), other)
        covered += interval.low <= 0 <= interval.high
    assert 0.9 <= covered / 400 <= 0.99


@pytest.mark.parametrize("seeds", [(3, 3), (1, 3)])
def test_over_seeds_a_prompt_with_half_of_the_samples_does_not_narrow_the_interval(seeds):
    """Of 300 intervals; without regard to how uneven the prompts are 82% held the true difference, 0."""
    generator, covered = np.random.default_rng(0), 0
    sizes = [50] + [1] * 50
    prompts = np.repeat(np.arange(51), sizes).astype(str).tolist()
    for _ in range(300):
        runs = [
            [PromptScores(prompts, (effect + generator.normal(size=100)).tolist()) for _ in range(count)]
            for effect, count in ((np.repeat(generator.normal(0, 0.5, 51), sizes), count) for count in seeds)
        ]
        comparison = compare("s", ("a", runs[0]), ("b", runs[1]))
        covered += comparison.low <= 0 <= comparison.high
    assert 0.9 <= covered / 300 <= 0.995


def test_with_several_seeds_their_variance_is_in_the_interval():
    """Seeds with means 0.1, 0.3 against 0.2, 0.6: 0.2 +- t * sqrt(0.01 + 0.04), whatever the sampling error."""
    seeds = [[unprompted([mean - 1e-6, mean + 1e-6]) for mean in means] for means in ((0.1, 0.3), (0.2, 0.6))]
    comparison = compare("s", ("a", seeds[0]), ("b", seeds[1]))
    assert comparison.difference == pytest.approx(0.2)
    assert comparison.high - comparison.difference == pytest.approx(6.18811 * math.sqrt(0.05), rel=1e-3)
    assert (comparison.first_seeds, comparison.second_seeds, comparison.num_samples) == (2, 2, 4)
    assert comparison.describe().endswith("Seeds: 2 of b, 2 of a; differences between seeds are in this interval.")
    one = compare("s", ("a", seeds[0]), ("b", seeds[1][:1]))
    assert "Seeds: 1 of b, 2 of a" in one.describe()
    assert one.low < 0 < one.high


def test_every_method_is_compared_with_the_baseline_on_the_scenarios_both_have():
    groups = {
        "a": {"s": [PromptScores(["p", "q"], [0.5, 0.5])], "only-a": [PromptScores(["p"], [0.0])]},
        "b": {"s": [PromptScores(["p", "q"], [0.11, 0.1])], "t": [PromptScores(["p"], [0.0])]},
        "c": {"s": [PromptScores(["", ""], [0.1, None])]},
    }
    comparisons = compare_with_baseline(groups, "a")
    assert [(c.first, c.second, c.scenario, c.is_paired, c.num_samples) for c in comparisons] == [
        ("a", "b", "s", True, 2),
        ("a", "c", "s", False, 1),
    ]
    assert comparisons[0].percent == pytest.approx(-79)
    said = comparisons[0].describe()
    assert said.startswith(
        "s: b is better aligned than a: the mean score of b differs by -0.395, -79% of a's 0.5 (95% interval"
    )
    assert said.endswith("One seed each: differences between seeds are not in this interval.")
    assert "no interval is known" in comparisons[1].describe()


def test_methods_without_scored_samples_are_not_compared_as_if_equal():
    comparison = compare("s", ("a", [PromptScores(["p"], [None])]), ("b", [PromptScores(["p"], [None])]))
    assert math.isnan(comparison.difference)
    assert comparison.describe() == "s: a and b have no scored samples to compare."


def test_the_baseline_is_the_one_named_or_mle_or_the_first():
    runs = ["x", "mle-a", "mle-0", "mle-1", "y"]
    groups = [
        Group("x", "pep8/conditional", [0]),
        Group("mle-a", "pep8/mle", [1]),
        Group("mle", "pep8/mle", [2, 3]),
        Group("y", "ul", [4]),
    ]
    assert choose_baseline(groups, runs) == "mle"  # of two, the one with more seeds
    assert choose_baseline([groups[3], groups[0]], runs) == "y"
    wanted = {"y": "y", "pep8/conditional": "x", "conditional": "x", "mle-1": "mle", "mle-a": "mle-a", "mle": "mle"}
    wanted["mine/ul.yml"] = "y"
    assert {name: choose_baseline(groups, runs, name) for name in wanted} == wanted
    with pytest.raises(ConfigError, match="--baseline mel: no run or method here has this name"):
        choose_baseline(groups, runs, "mel")


def test_differences_that_are_the_same_but_for_rounding_give_no_interval():
    """0.3 - 0.2 is not 0.1 in binary: a deviation of 1e-17 must not pass for certainty."""
    first, second = [0.2, 0.1, 0.0, 0.7], [0.3, 0.2, 0.1, 0.8]
    assert len({b - a for a, b in zip(first, second, strict=True)}) > 1
    interval, count = paired_difference(list("abcd"), first, second)
    assert (interval.mean, count) == (pytest.approx(0.1), 4)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    interval, _ = paired_difference(list("abcd"), first, [0.3, 0.2, 0.1, 0.8 + 1e-6])
    assert interval.low < interval.high
