"""Quantiles and shares of scores, exact and estimated."""

import math

import numpy as np
import pytest

from phf.corpus.dataset import in_batches
from phf.corpus.distribution import CHARS, COUNT, Distribution, ScoreDistributions, measure_scores
from phf.corpus.sources.documents import AnnotatedDocument


def distribution(scores, **settings):
    scores_so_far = Distribution(**settings)
    amounts = np.stack([np.ones(len(scores)), np.arange(len(scores)), np.zeros(len(scores))], axis=1)
    scores_so_far.add(np.array(scores, np.float32), amounts.astype(np.int64))
    return scores_so_far


def test_a_quantile_is_the_smallest_score_that_so_many_do_not_exceed():
    scores = distribution([0.4, 0.1, 0.3, 0.2])
    assert [scores.quantile(p) for p in (0, 25, 26, 50, 75, 75.1, 100)] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.4, 0.4]
    assert scores.is_exact
    assert scores.num_sampled is None


def test_ranks_are_not_spoiled_by_floating_point():
    scores = distribution([i / 100 for i in range(1, 101)])  # 7 / 100 * 100 is 7.000000000000001 in floats
    assert scores.quantile(7) == 0.07
    assert distribution([i / 1000 for i in range(1, 1001)]).quantile(99.9) == 0.999


def test_a_quantile_is_short_and_still_the_same_float32():
    scores = distribution([0.00236])
    assert str(scores.quantile(50)) == "0.00236"
    assert np.float32(scores.quantile(50)) == np.float32(0.00236)
    assert scores.at_or_below(scores.quantile(50))[COUNT] == 1


def test_amounts_at_or_below_a_score():
    scores = distribution([0.4, 0.1, 0.3, 0.1])  # characters 0, 1, 2, 3
    assert scores.at_or_below(0.1).tolist() == [2, 4, 0]
    assert scores.at_or_below(0.35).tolist() == [3, 6, 0]
    assert scores.at_or_below(0.0).tolist() == [0, 0, 0]
    assert scores.totals.tolist() == [4, 6, 0]
    assert (scores.minimum, scores.maximum) == (float(np.float32(0.1)), float(np.float32(0.4)))
    assert scores.mean == pytest.approx(0.225)


def test_no_score_at_all():
    scores = Distribution()
    assert math.isnan(scores.quantile(50))
    assert math.isnan(scores.mean)
    assert scores.at_or_below(1).tolist() == [0, 0, 0]


def test_too_many_distinct_scores_become_a_sample_that_says_so():
    scores = np.random.default_rng(0).permutation(100_000) / 100_000
    sampled = distribution(scores, max_values=1000, sample_size=4000)
    assert sampled.num_sampled == 4000
    assert not sampled.is_exact
    assert sampled.totals[COUNT] == 100_000  # counted, not estimated
    assert sampled.minimum == 0
    for percentile in (5, 50, 95):  # the standard error of a rank among 4000 is 0.8 points at most
        assert sampled.quantile(percentile) == pytest.approx(percentile / 100, abs=0.03)
    assert sampled.at_or_below(0.25)[COUNT] == pytest.approx(25_000, abs=3000)


def test_the_sample_depends_on_nothing_but_the_order_of_the_scores():
    scores = np.random.default_rng(0).random(20_000).astype(np.float32)
    whole, parts = Distribution(100, 500), Distribution(100, 500)
    amounts = np.ones((len(scores), 3), np.int64)
    whole.add(scores, amounts)
    for start in range(0, len(scores), 777):
        parts.add(scores[start : start + 777], amounts[start : start + 777])
        parts._merge()
    assert whole.sorted_scores()[0].tolist() == parts.sorted_scores()[0].tolist()


def test_merging_many_times_counts_like_counting_once():
    scores = np.random.default_rng(1).integers(0, 50, 5000) / 50
    whole, parts = distribution(scores), Distribution()
    for start in range(0, 5000, 7):
        part = np.array(scores[start : start + 7], np.float32)
        parts.add(part, np.ones((len(part), 3), np.int64))
        if start % 5 == 0:
            parts._merge()
    assert [whole.quantile(p) for p in range(101)] == [parts.quantile(p) for p in range(101)]


def test_documents_and_segments_with_unscored_ones():
    documents = [
        AnnotatedDocument("a", ["aa", "b"], [0.5, None]),  # averages 0.5
        AnnotatedDocument("b", ["ccc"], [None]),
        AnnotatedDocument("c", [], []),
        AnnotatedDocument("d", ["d", "eeee"], [0.0, 0.25]),  # averages 0.125
    ]
    measured = measure_scores(documents)
    assert measured.levels["segment"].totals[[COUNT, CHARS]].tolist() == [3, 7]
    assert measured.unscored["segment"][[COUNT, CHARS]].tolist() == [2, 4]
    assert measured.levels["document"].totals[[COUNT, CHARS]].tolist() == [2, 8]
    assert measured.unscored["document"][[COUNT, CHARS]].tolist() == [2, 3]
    assert measured.levels["document"].quantile(50) == 0.125
    assert measured.levels["segment"].quantile(50) == 0.25


def test_batches_do_not_change_the_result_and_keep_the_order():
    documents = [AnnotatedDocument(str(i), ["x" * i], [i / 10]) for i in range(10)]
    assert [d.id for batch in in_batches(documents, 7) for d in batch] == [d.id for d in documents]
    one, many = ScoreDistributions(), ScoreDistributions()
    one.add(documents)
    for batch in in_batches(documents, 7):
        many.add(batch)
    assert one.levels["segment"].quantile(30) == many.levels["segment"].quantile(30) == 0.2
