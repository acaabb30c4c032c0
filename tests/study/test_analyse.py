"""From run folders to comparisons: intervals over seeds and samples, what is dominated, what would distinguish."""

import math

import numpy as np
import pytest
from scipy.stats import t
from tests.study.pieces import finished, runs_of

from phf.evaluation.compare import PromptScores, over_seeds
from phf.evaluation.power import Needed, needed, needed_samples
from phf.runs.reader import read_run
from phf.statistics import Interval
from phf.study.analyse import analyse
from phf.study.claims import advice, claim, claims


def unprompted(*scores):
    return PromptScores([""] * len(scores), list(scores))


def results_of(folder, values, **changes):
    """The results of a study with these runs; `values`: arm -> [(scores, held-out bits) of each seed]."""
    runs = runs_of(
        methods=list(values), seeds=[1, 2, 3][: max(map(len, values.values()))], training_from="task", **changes
    )
    results = {}
    for run in runs:
        if run.seed <= len(values[run.arm.name]):
            scores, bits = values[run.arm.name][run.seed - 1]
            finished(folder, run, scores, bits)
            results[run.name] = read_run(folder / run.name)
    return analyse(runs, results, "mle")


def around(mean, spread=0.01):
    return [mean - spread, mean, mean + spread]


def test_the_interval_over_seeds_is_students_of_their_means():
    seeds = [unprompted(0.1, 0.3), unprompted(0.3, 0.3, 0.3), unprompted(0.4, 0.2)]  # means .2, .3, .3
    interval = over_seeds(seeds)
    half = t.ppf(0.975, 2) * np.std([0.2, 0.3, 0.3], ddof=1) / math.sqrt(3)
    assert interval == pytest.approx((0.8 / 3, 0.8 / 3 - half, 0.8 / 3 + half))
    assert over_seeds(seeds, (0.0, 0.4)).low == max(0.8 / 3 - half, 0.0)


def test_one_seed_has_the_interval_over_its_samples_and_none_has_none():
    one = over_seeds([unprompted(0.1, 0.2, 0.4, 0.3)])
    assert one.mean == pytest.approx(0.25)
    assert one.low < 0.25 < one.high
    assert all(math.isnan(value) for value in over_seeds([]))
    assert math.isnan(over_seeds([unprompted(0.1), unprompted(0.1)]).low)  # equal means say nothing about their spread


@pytest.mark.parametrize(
    ("num_seeds", "seed_spread", "num_prompts", "prompt_spread"),
    [(3, 0.0, 0, 0.0), (3, 0.3, 0, 0.0), (5, 0.1, 0, 0.0), (3, 0.1, 20, 0.5), (3, 0.0, 20, 0.5)],
)
def test_coverage(num_seeds, seed_spread, num_prompts, prompt_spread):
    """About 95% of intervals cover the mean over all seeds, prompts and samples, whichever of them varies."""
    generator = np.random.default_rng(0)
    num_studies, num_samples = 600, 40
    covered = 0
    for _ in range(num_studies):
        of_prompts = generator.normal(0, prompt_spread, max(num_prompts, 1))
        numbers = np.arange(num_samples) % max(num_prompts, 1)
        seeds = [
            PromptScores(
                [str(number) if num_prompts else "" for number in numbers],
                list(generator.normal(0, seed_spread) + of_prompts[numbers] + generator.normal(0, 1, num_samples)),
            )
            for _ in range(num_seeds)
        ]
        interval = over_seeds(seeds)
        covered += interval.low <= 0 <= interval.high
    assert 0.92 <= covered / num_studies <= 0.985


def test_arms_and_pairs_of_a_task(tmp_path):
    values = {
        "mle": [(around(0.10), 2.00), (around(0.11), 2.02), (around(0.12), 2.04)],
        "conditional": [(around(0.04), 2.10), (around(0.05), 2.12), (around(0.06), 2.14)],
    }
    (result,) = results_of(tmp_path, values)
    mle, conditional = result.arms
    assert (result.task, result.scenario, result.baseline) == ("pep8/quickstart", "prompted", "mle")
    assert mle.seeds == [1, 2, 3]
    assert mle.num_samples == 9
    assert mle.score.mean == pytest.approx(0.11)
    assert mle.bits_per_byte.mean == pytest.approx(2.02)
    assert conditional.dominated_by == mle.dominated_by == []  # a trade-off
    (pair,) = result.pairs
    assert pair.comparison.difference == pytest.approx(-0.06)
    half = t.ppf(0.975, 4) * math.sqrt(2 * 0.01**2 / 3)
    assert pair.comparison.low == pytest.approx(-0.06 - half)
    assert pair.bits == pytest.approx((0.1, 0.1 - 2 * half, 0.1 + 2 * half))
    assert pair.bits_percent.mean == pytest.approx(100 * 0.1 / 2.02)
    assert pair.is_distinguished
    assert pair.is_disjoint
    assert pair.needed is None
    assert claim(pair) == (
        "conditional lies below mle by 0.06 (0.0373 to 0.0827), held-out loss +5% (+2.7% to +7.2%). "
        "The intervals of the two themselves do not overlap."
    )
    assert claims(result)[-1] == "Not dominated: mle, conditional. Dominated: none."


def test_the_difference_in_held_out_loss_has_welchs_interval_however_skewed_the_seeds_seem(tmp_path):
    values = {
        "mle": [(around(0.1), 2.00), (around(0.1), 2.00), (around(0.1), 2.09)],
        "conditional": [(around(0.1), 2.50), (around(0.1), 2.52), (around(0.1), 2.54)],
    }
    ((pair,),) = (result.pairs for result in results_of(tmp_path, values))
    parts = [np.var(of_arm, ddof=1) / 3 for of_arm in ([2.00, 2.00, 2.09], [2.50, 2.52, 2.54])]
    degrees = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = t.ppf(0.975, degrees) * math.sqrt(sum(parts))
    assert pair.bits == pytest.approx((0.49, 0.49 - half, 0.49 + half))


def test_a_scenario_without_a_single_score_is_left_out(tmp_path):
    run, *_ = runs_of(methods=["mle"])
    finished(tmp_path, run, [0.1], 2.0)
    lines = (tmp_path / run.name / "samples" / "prompted.jsonl").read_text()
    for name in ("prompted", "unscored"):
        changed = lines.replace("0.1", "null") if name == "unscored" else lines
        (tmp_path / run.name / "samples" / f"{name}.jsonl").write_text(changed)
    results = analyse([run], {run.name: read_run(tmp_path / run.name)}, "mle")
    assert [result.scenario for result in results] == ["prompted"]


def test_a_method_that_is_worse_in_both_is_dominated(tmp_path):
    values = {
        "mle": [(around(0.10), 2.00), (around(0.11), 2.02)],
        "conditional": [(around(0.30), 2.50), (around(0.31), 2.52)],
    }
    (result,) = results_of(tmp_path, values)
    assert [arm.dominated_by for arm in result.arms] == [[], ["mle"]]
    assert claims(result)[0].startswith("conditional lies above mle by 0.2 (")
    assert claims(result)[-1] == "Not dominated: mle. Dominated: conditional (by mle)."


def test_a_difference_that_may_be_chance_dominates_nothing(tmp_path):
    values = {
        "mle": [(around(0.10), 2.00), (around(0.20), 2.30)],
        "conditional": [(around(0.12), 2.02), (around(0.21), 2.31)],
    }
    (result,) = results_of(tmp_path, values)
    assert [arm.dominated_by for arm in result.arms] == [[], []]
    (pair,) = result.pairs
    assert not pair.is_distinguished
    assert not pair.is_disjoint
    sentence = claim(pair)
    assert sentence.startswith("conditional and mle cannot be distinguished: the difference is +0.015 (")
    assert "seeds each would distinguish the two" in sentence


def test_a_single_seed_is_compared_over_its_samples_and_says_so(tmp_path):
    (result,) = results_of(tmp_path, {"mle": [(around(0.3), 2.0)], "conditional": [(around(0.1), 2.1)]})
    (pair,) = result.pairs
    assert pair.is_distinguished
    assert math.isnan(pair.bits.low)
    assert claim(pair).endswith("One seed each: another seed might differ by more than these intervals.")
    assert ", held-out loss +5%. " in claim(pair)
    assert "  " not in claim(pair)
    values = {"mle": [([0.1, 0.2, 0.4], 2.0)], "conditional": [([0.1, 0.3, 0.4], 2.0)]}
    ((pair,),) = (result.pairs for result in results_of(tmp_path / "alike", values))
    assert "cannot be distinguished" in claim(pair)
    assert "  " not in claim(pair)


def test_without_the_baseline_the_first_method_with_a_result_is_used(tmp_path):
    runs = runs_of(methods=["mle", "conditional", "awr"], seeds=[1], training_from="task")
    results = {}
    for run in runs[1:]:
        finished(tmp_path, run, around(0.1), 2.0)
        results[run.name] = read_run(tmp_path / run.name)
    (result,) = analyse(runs, results, "mle")
    assert result.baseline == "conditional"
    assert analyse(runs, {}, "mle") == []


def test_kl_and_downstream_numbers_are_averaged_over_seeds(tmp_path):
    runs = runs_of(methods=["mle"])
    results = {}
    for run, kl in zip(runs, (3.0, 5.0), strict=True):
        finished(tmp_path, run, around(0.1), 2.0, **{"kl/kl": kl, "kl/kl_low": 0.0})
        results[run.name] = read_run(tmp_path / run.name)
    (result,) = analyse(runs, results, "mle")
    half = t.ppf(0.975, 1) * math.sqrt(2) / math.sqrt(2)
    assert result.arms[0].measures == {"kl/kl": pytest.approx((4.0, 4.0 - half, 4.0 + half))}


def test_length_and_diversity_are_averaged_over_seeds_and_scores_are_not_among_them(tmp_path):
    runs = runs_of(methods=["mle"])
    results = {}
    for run, share in zip(runs, (0.2, 0.4), strict=True):
        numbers = {"distinct-2-grams": share, "score_max@25": 1.0, "num_hits_low": 0.1, "Other/score": 0.5}
        finished(tmp_path, run, around(0.1), 2.0, **{f"generation/prompted/{key}": numbers[key] for key in numbers})
        results[run.name] = read_run(tmp_path / run.name)
    (result,) = analyse(runs, results, "mle")
    half = t.ppf(0.975, 1) * 0.1
    assert result.arms[0].metrics == {"distinct-2-grams": pytest.approx((0.3, 0.3 - half, 0.3 + half))}


def test_seeds_that_would_distinguish_are_those_at_which_the_interval_excludes_0():
    first = [unprompted(mean - 0.1, mean + 0.1) for mean in (0.0, 1.0, 2.0)]  # variance of means: 1
    second = [unprompted(mean - 0.1, mean + 0.1) for mean in (1.0, 2.0, 3.0)]
    wanted = needed(first, second)
    smallest = next(n for n in range(4, 100) if t.ppf(0.975, 2 * n - 2) * math.sqrt(2 / n) < 1)
    assert wanted.seeds == smallest == 9
    assert wanted.samples is None  # the samples of a seed are almost equal


def test_samples_help_where_the_spread_of_seeds_is_that_of_their_samples():
    first, second = (
        [unprompted(*[mean + shift - 1, mean + shift + 1] * 50) for mean in (-0.1, 0.0, 0.1)] for shift in (0.0, 0.1)
    )  # variance of the means: .01, of which the samples of each explain 1 / 99 = .0101
    smallest = next(m for m in range(2, 100) if t.ppf(0.975, 4) * math.sqrt(2 * 0.01 / m / 3) < 0.1)
    assert needed(first, second).samples == 100 * smallest == 600


def test_samples_do_not_help_where_seeds_differ_however_much_prompts_do():
    noise = (-0.001, 0.001)
    first, second = (
        [
            PromptScores(["a", "a", "b", "b"], [mean + prompt + error for prompt in (-9, 9) for error in noise])
            for mean in (shift - 1.0, shift, shift + 1.0)
        ]
        for shift in (0.0, 1.0)
    )
    wanted = needed(first, second)
    assert wanted.samples is None
    assert wanted.seeds == 9  # as above: the prompts are the same for both


def test_with_one_seed_each_the_samples_are_those_at_which_the_interval_excludes_0(tmp_path):
    """Samples -1 and 1 against -.9 and 1.1, 50 times each: the variance of a mean is 100 / 99 / 100."""
    values = {"mle": [([-1.0, 1.0] * 50, 2.0)], "conditional": [([-0.9, 1.1] * 50, 2.0)]}
    ((pair,),) = (result.pairs for result in results_of(tmp_path, values))
    half = t.ppf(0.975, 198) * math.sqrt(2 / 99)
    smallest = next(m for m in range(2, 100) if half / math.sqrt(m) < 0.1)
    assert pair.needed == Needed(None, 100 * smallest, is_of_one_seed=True)
    assert "that takes at least 3 seeds. One seed each: another seed might" in claim(pair)


def test_with_one_seed_each_it_is_the_side_towards_0_that_counts():
    assert needed_samples(Interval(0.1, -0.1, 0.9), 10).samples == 50  # .2 / sqrt(5) < .1, and .2 / sqrt(4) is not
    assert needed_samples(Interval(-0.1, -0.9, 0.1), 10).samples == 50
    assert needed_samples(Interval(0.001, -0.1, 0.1), 10).samples is None
    assert needed_samples(Interval(0.0, -0.1, 0.1), 10) is None
    assert needed_samples(Interval(0.1, math.nan, math.nan), 10) is None


def test_what_cannot_be_estimated_is_not():
    assert needed([unprompted(0.1, 0.2)], [unprompted(0.1, 0.3), unprompted(0.1, 0.2)]) is None  # one seed of the first
    same = [unprompted(0.1, 0.2), unprompted(0.2, 0.3)]
    assert needed(same, same) is None  # no difference at all


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Needed(9, 4096), "9 seeds each or 4,096 samples of each run would distinguish the two."),
        (Needed(9, None), "9 seeds each would distinguish the two; more samples alone would not, since the seeds"),
        (Needed(None, 4096), "4,096 samples of each run would distinguish the two; 1,000 seeds alone would not."),
        (
            Needed(None, 4096, is_of_one_seed=True),
            "4,096 samples of each run would distinguish these two runs. How much seeds",
        ),
        (
            Needed(None, None, is_of_one_seed=True),
            "1,000 times as many samples of each run would not distinguish these two",
        ),
        (Needed(None, None), "neither 1,000 seeds each nor 1,000 times as many samples would distinguish the two."),
    ],
)
def test_advice(wanted, sentence):
    class Pair:
        needed = wanted

    assert sentence in advice(Pair)
