"""Differences between models: paired by prompt where there are prompts, and what is said of them."""

import math

import pytest

from phf.evaluation.compare import PromptScores, compare_models, independent_difference, paired_difference


def test_a_paired_difference_by_hand_leaves_out_what_is_unscored():
    """Pairs: 0.3 - 0.1, 0.2 - 0.2, and one with None."""
    interval, count = paired_difference(["a", "b", "c"], [0.1, 0.2, 0.5], [0.3, 0.2, None])
    assert (interval.mean, count) == (pytest.approx(0.1), 2)
    assert interval.low == pytest.approx(0.0)
    assert interval.high == pytest.approx(0.2)


def test_pairing_takes_out_what_prompts_have_in_common():
    """Scores that differ by 0.01 on each of 100 very different prompts: only the pairs show it."""
    first = [i / 100 for i in range(100)]
    second = [score + 0.01 for score in first]
    paired, _ = paired_difference([str(i) for i in range(100)], first, second)
    assert paired == pytest.approx((0.01, 0.01, 0.01))
    independent, _ = independent_difference(first, second)
    assert independent.low < 0 < independent.high


def test_samples_of_one_prompt_are_resampled_together():
    """Ten samples each of two prompts with differences 0 and 1: as uncertain as two samples are."""
    prompts = ["a"] * 10 + ["b"] * 10
    interval, count = paired_difference(prompts, [0.0] * 20, [0.0] * 10 + [1.0] * 10)
    assert (*interval, count) == (0.5, 0.0, 1.0, 20)


def test_independent_sets_by_hand():
    interval, count = independent_difference([0.5, 0.5, None], [0.25, 0.25, 0.25])
    assert interval == (-0.25, -0.25, -0.25)
    assert count == 2


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    import numpy as np

    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        first, second = generator.normal(0, 1, 40).tolist(), generator.normal(0.3, 1, 40).tolist()
        interval, _ = independent_difference(first, second)
        covered += interval.low <= 0.3 <= interval.high
    assert covered >= 50


def test_each_pair_of_models_is_compared_on_the_scenarios_both_have():
    models = {
        "a": {"s": PromptScores(["p", "q"], [0.5, 0.5]), "only-a": PromptScores(["p"], [0.0])},
        "b": {"s": PromptScores(["p", "q"], [0.1, 0.1])},
        "c": {"s": PromptScores(["", ""], [0.1, None])},
    }
    found = compare_models(models)
    assert [(c.first, c.second, c.scenario, c.is_paired, c.num_samples) for c in found] == [
        ("a", "b", "s", True, 2),
        ("a", "c", "s", False, 1),
        ("b", "c", "s", False, 1),
    ]
    assert found[0].describe() == ("s: b is better aligned than a; b - a -0.4 (95% interval -0.4 to -0.4).")
    assert "cannot be told apart" in found[2].describe()


def test_models_without_scored_samples_are_not_compared_as_if_equal():
    models = {name: {"s": PromptScores(["p"], [None])} for name in "ab"}
    (found,) = compare_models(models)
    assert math.isnan(found.difference)
    assert found.describe() == "s: a and b have no scored samples to compare."
