"""Accuracy and calibration, by hand."""

import math

import pytest

from phf.labels.label import Pair, Rating
from phf.reward.measure import quality


def test_pairs_are_right_where_the_rejected_text_has_the_higher_output():
    labels = [Pair("c", "r", "", None)] * 4
    margins = [math.log(3), math.log(3), -math.log(3), math.log(19)]  # P = 0.75, 0.75, 0.25, 0.95
    measured = quality(labels, [n for margin in margins for n in (1.0, 1.0 + margin)], range(4))
    assert (measured.accuracy, measured.baseline, measured.num_decided) == (0.75, 0.5, 4)
    # bins of width 0.1 from 0.5: three predictions of 0.75, of which two are right; one of 0.95
    assert [row.count for row in measured.calibration] == [0, 0, 3, 0, 1]
    assert measured.ece == pytest.approx((3 * (0.75 - 2 / 3) + (1 - 0.95)) / 4)
    assert measured.loss == pytest.approx(-(2 * math.log(0.75) + math.log(0.25) + math.log(0.95)) / 4)
    assert not measured.is_above_baseline


def test_equal_outputs_count_half():
    assert quality([Pair("c", "r", "", None)] * 2, [1.0, 1.0, 0.0, 2.0], range(2)).accuracy == 0.75


def test_ratings_are_right_on_the_same_side_of_the_middle():
    labels = [Rating("t", badness, None, None) for badness in (0.0, 0.25, 1.0, 0.5)]
    measured = quality(labels, [-1.0, 1.0, 2.0, 5.0], range(4))
    assert (measured.num_labels, measured.num_decided) == (4, 3)
    assert measured.accuracy == pytest.approx(2 / 3)
    assert measured.baseline == pytest.approx(2 / 3)  # "good", always
    assert sum(row.count for row in measured.calibration) == 4
    worst = measured.calibration[-1]  # sigmoid(2) and sigmoid(5)
    assert worst.count == 2
    assert worst.observed == 0.75
    assert worst.predicted == pytest.approx((1 / (1 + math.exp(-2)) + 1 / (1 + math.exp(-5))) / 2)


def test_ratings_in_the_middle_alone_have_no_accuracy():
    measured = quality([Rating("t", 0.5, None, None)] * 3, [1.0] * 3, range(3))
    assert (measured.accuracy, measured.baseline, measured.num_decided) == (None, None, 0)
