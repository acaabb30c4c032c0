"""Over-optimisation: the gap of two scorers, worked out by hand, and what is said about it."""

import math

import numpy as np
import pytest
from tests.study.test_held_out_scorers import DIGITS, a_finished_study, answer_of

from phf.evaluation.compare import PromptScores, compare
from phf.statistics import UNKNOWN, Interval
from phf.study.gap import Gap, ScoredTwice, Verdict, _gap
from phf.study.gap_page import gap_claim


def an_arm(name, trained, held_out):
    """[seed][sample] of both scorers."""
    sides = [[PromptScores([""] * len(scores), list(scores)) for scores in seeds] for seeds in (trained, held_out)]
    return ScoredTwice(name, list(range(len(trained))), *sides, UNKNOWN, UNKNOWN)


def around(mean, generator, count=3, samples=400, spread=1.0):
    return [list(generator.normal(mean, spread, samples)) for _ in range(count)]


def test_the_gap_is_the_improvement_that_the_held_out_scorer_does_not_see_in_standard_deviations():
    first = an_arm("mle", [[1.0, 3.0], [1.0, 3.0]], [[10.0, 14.0], [10.0, 14.0]])  # deviations 1 and 2
    second = an_arm("awr", [[0.0, 2.0], [-0.5, 1.5]], [[9.0, 13.0], [10.0, 12.0]])
    gap = _gap("s", first, second)
    assert gap.trained.difference == pytest.approx(-1.25)
    assert gap.held_out.difference == pytest.approx(-1.0)
    assert gap.gap.mean == pytest.approx(1.25 / 1 - 1.0 / 2)


def test_samples_that_one_scorer_lacks_are_in_the_other_ones_mean_alone():
    first = an_arm("mle", [[1.0, 3.0, None]], [[10.0, 14.0, 20.0]])
    second = an_arm("awr", [[0.0, 2.0, 4.0]], [[10.0, 14.0, None]])
    gap = _gap("s", first, second)
    assert gap.trained.difference == pytest.approx(0.0)
    assert gap.held_out.difference == pytest.approx(12 - 44 / 3)
    assert gap.gap.mean == pytest.approx(1.0)  # of the first two samples alone


def test_the_gap_is_unknown_where_the_baseline_has_no_spread():
    gap = _gap("s", an_arm("mle", [[1.0, 1.0]], [[0.0, 1.0]]), an_arm("awr", [[0.0, 0.5]], [[0.0, 1.0]]))
    assert math.isnan(gap.gap.mean)
    assert gap.held_out.difference == 0


@pytest.mark.parametrize(
    ("trained", "held_out", "verdict"),
    [
        (-1.0, -1.0, Verdict.HOLDS),
        (-1.0, 0.0, Verdict.NOT_SHARED),
        (-1.0, 1.0, Verdict.WORSE),
        (0.0, 1.0, Verdict.NOT_IMPROVED),
        (1.0, -1.0, Verdict.NOT_IMPROVED),
    ],
)
def test_verdicts_of_differences_that_the_samples_show(trained, held_out, verdict):
    generator = np.random.default_rng(0)
    first = an_arm("mle", around(0.0, generator), around(0.0, generator))
    second = an_arm("awr", around(trained, generator), around(held_out, generator))
    gap = _gap("s", first, second)
    assert gap.verdict is verdict
    assert gap.verdict.is_warning == (verdict in (Verdict.NOT_SHARED, Verdict.WORSE))
    assert gap.gap.low < held_out - trained < gap.gap.high


def a_gap(held_out, gap=(0.5, 0.1, 0.9), trained=(-1.0, -1.2, -0.8)):
    scores = [PromptScores([""] * 2, [0.0, 1.0])] * 2
    comparisons = []
    for mean, low, high in (trained, held_out):
        one = compare("s", ("mle", scores), ("awr", scores))
        comparisons.append(type(one)(**{**vars(one), "difference": mean, "low": low, "high": high}))
    return Gap(*comparisons, Interval(*gap))


def test_an_interval_that_includes_both_answers_is_undecided_not_a_finding():
    gap = a_gap((-0.1, -0.5, 0.3), gap=(0.5, -0.2, 1.2))
    assert gap.verdict is Verdict.UNDECIDED
    assert gap.verdict.is_warning


def test_sentences(tmp_path):
    a_finished_study(tmp_path)
    (result,) = answer_of(tmp_path, DIGITS).gaps
    said = {
        "Warning, over-optimisation: awr improves on mle by the trained-on PEP8Scorer (-1, -1.2 to -0.8), but is worse by the "
        f"held-out {DIGITS} (+1, +0.5 to +1.5). Gap: +0.5, +0.1 to +0.9 standard deviations.": (1.0, 0.5, 1.5),
        "Warning, over-optimisation: awr improves on mle by the trained-on PEP8Scorer (-1, -1.2 to -0.8), but not measurably "
        f"by the held-out {DIGITS} (+0, -0.1 to +0.1). Gap: +0.5, +0.1 to +0.9 standard deviations.": (0.0, -0.1, 0.1),
        "awr improves on mle by the trained-on PEP8Scorer (-1, -1.2 to -0.8), and by the "
        f"held-out {DIGITS} (-1, -1.5 to -0.5), too. Gap: +0.5, +0.1 to +0.9 standard deviations.": (-1.0, -1.5, -0.5),
    }
    for sentence, held_out in said.items():
        assert gap_claim(a_gap(held_out), result) == sentence
    unknown = gap_claim(a_gap((0.0, math.nan, math.nan), gap=(math.nan,) * 3), result)
    assert unknown.endswith("; how certain that is is unknown.")
    assert unknown.startswith("Over-optimisation cannot be ruled out: awr improves on mle")
