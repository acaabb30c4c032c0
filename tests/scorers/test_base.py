"""What every scorer has: scores of many documents, checks, a description."""

import numpy as np
import pytest

from phf.errors import ScorerError
from phf.scorers import Scorer
from phf.scorers.base import SegmentScorer, checked_scores


class Length(SegmentScorer):
    """Characters; None for the empty text. Keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def score_texts(self, texts):
        self.calls.append(list(texts))
        return [len(text) or None for text in texts]


class Position(Scorer):
    """A score that depends on the document: the index of the segment."""

    def score_document(self, segments):
        return [float(index) for index in range(len(segments))]


def test_documents_are_scored_one_by_one_where_segments_depend_on_each_other():
    assert Position().score_documents([["a", "b"], [], ["c"]]) == [[0.0, 1.0], [], [0.0]]


def test_documents_of_independent_segments_are_one_call():
    scorer = Length()
    assert scorer.score_documents([["a", "bb"], [], ["", "dddd"]]) == [[1, 2], [], [None, 4]]
    assert scorer.calls == [["a", "bb", "", "dddd"]]
    assert scorer.score_documents([]) == []


def test_a_wrong_number_of_scores_is_not_dealt_out_to_other_documents(monkeypatch):
    scorer = Length()
    monkeypatch.setattr(scorer, "score_texts", lambda texts: [0.0])
    with pytest.raises(ScorerError, match="Length returned 1 scores for 3 texts"):
        scorer.score_documents([["a"], ["b", "c"]])


def test_description_leaves_out_where_it_works():
    scorer = Length()
    scorer.working_settings = frozenset({"device"})
    scorer.settings = {"device": "cuda:1", "label": "toxic"}
    assert scorer.describe() == {"class_name": "Length", "version": "1", "settings": {"label": "toxic"}}


@pytest.mark.parametrize(
    "score", [float("nan"), float("-inf"), 10**400, -(10**5000)], ids=["nan", "inf", "long", "longer"]
)
def test_a_score_that_is_not_a_finite_number_is_refused(score):
    with pytest.raises(ScorerError, match=r"returned .* for text 1 of 2; return None for unscored"):
        checked_scores(Length(), [1.0, score], 2)


def test_scores_become_floats_whatever_numbers_they_were():
    scores = checked_scores(Length(), [1, np.float32(0.5), True, None], 4)
    assert scores == [1.0, 0.5, 1.0, None]
    assert [type(score) for score in scores] == [float, float, float, type(None)]
