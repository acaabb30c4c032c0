"""CompositeScorer by hand."""

import sys
from types import ModuleType

import pytest

from phf.errors import ConfigError
from phf.scorers import Scorer, build_scorer
from phf.scorers.base import scorer_mismatch


class Letters:
    """Share of the text that is the letter; None, without saying why, where there is none of it."""

    def __init__(self, letter: str = "a"):
        self.letter = letter

    def score_texts(self, texts):
        return [text.count(self.letter) / len(text) or None for text in texts]


class Place(Scorer):
    """Index in the document, from 1; unscored beyond the second."""

    segmenter = "lines"
    working_settings = frozenset({"device"})

    def __init__(self, device: str = "cpu"):
        super().__init__()
        self.device = device

    def score_texts(self, texts):
        return [1.0] * len(texts)

    def score_document(self, segments):
        self.unscored["too far down"] += max(len(segments) - 2, 0)
        return [float(index) if index < 3 else None for index in range(1, len(segments) + 1)]


@pytest.fixture(autouse=True)
def module(monkeypatch):
    parts = ModuleType("parts")
    parts.Letters, parts.Place = Letters, Place
    monkeypatch.setitem(sys.modules, "parts", parts)


def composite(*scorers, **settings):
    return build_scorer({"class_name": "CompositeScorer", "scorers": list(scorers), **settings})


A, B, PLACE = (
    {"class_name": "parts:Letters"},
    {"class_name": "parts:Letters", "letter": "b"},
    {"class_name": "parts:Place"},
)


def test_maximum_and_weighted_sum():
    assert composite(A, B).score_texts(["aab", "abbb"]) == [2 / 3, 3 / 4]
    assert composite(A, B, weights=[1, 4]).score_texts(["aab"]) == [4 / 3]
    assert composite(A, B, combine="sum", weights=[3, 6]).score_texts(["aab"]) == [2 + 2]


def test_parts_judge_segments_inside_their_document():
    assert composite(PLACE, A).segmenter == "lines"
    assert composite(PLACE, A).score_document(["a", "ab"]) == [1.0, 2.0]
    assert composite(A, PLACE, combine="sum").score_documents([["a", "ab"], [], ["ab"]]) == [[2.0, 2.5], [], [1.5]]
    assert composite(PLACE, A).score_texts(["a", "ab"]) == [1.0, 1.0]


@pytest.mark.parametrize("combine", ["max", "sum"])
def test_what_one_part_cannot_score_is_unscored_with_its_reason(combine):
    scorer = composite(PLACE, A, combine=combine)
    assert [score is None for score in scorer.score_document(["a", "x", "a"])] == [False, True, True]
    assert scorer.unscored == {"parts:Place: too far down": 1, "parts:Letters: unscored": 1}
    scorer.unscored.clear()
    scorer.score_documents([["a"], ["a"]])
    assert not scorer.unscored


def test_what_was_counted_before_a_part_raised_is_not_counted_again():
    scorer = composite(PLACE, A)
    with pytest.raises(ZeroDivisionError):  # by Letters, after Place has counted
        scorer.score_documents([["a", "a", "a"], [""]])
    assert scorer.score_documents([["a", "a", "a"]]) == [[1.0, 2.0, None]]
    assert scorer.unscored == {"parts:Place: too far down": 1}


def test_description_nests_those_of_the_parts():
    scorer = composite({**PLACE, "device": "cpu"}, B, weights=[1, 2])
    assert scorer.describe() == {
        "class_name": "CompositeScorer",
        "version": "1",
        "settings": {
            "scorers": [
                {"class_name": "parts:Place", "version": "1", "settings": {}},
                {"class_name": "parts:Letters", "version": "0", "settings": {"letter": "b"}},
            ],
            "combine": "max",
            "weights": [1.0, 2.0],
        },
    }


def test_device_goes_to_the_parts_that_take_one():
    scorer = composite(PLACE, {**PLACE, "device": "cuda:3"}, A, device="cuda:1")
    assert [getattr(part, "device", None) for part in scorer.parts] == ["cuda:1", "cuda:3", None]
    assert scorer.device == "cuda:1"
    assert composite(A).device is None
    assert scorer.describe() == {**composite(PLACE, PLACE, A).describe()}


@pytest.mark.parametrize(
    ("scorers", "settings", "message"),
    [
        ([], {}, "scorers is empty"),
        ([A, B], {"weights": [1]}, r"weights is \[1\.0\]; it must be 2 positive"),
        ([A, B], {"weights": [1, -1]}, "2 positive numbers"),
        ([A], {"weights": [float("inf")]}, r"weights is \[inf\]; it must be 1 positive"),
        ([A], {"weights": [float("nan")]}, r"weights is \[nan\]; it must be 1 positive"),
        ([A], {"combine": "mean"}, "combine is 'mean'"),
        ([A, {**B, "leter": "x"}], {}, r"scorers\.1\.leter is not a setting .* Did you mean 'letter'"),
        ([{"class_name": "PEPScorer"}], {}, "Did you mean 'PEP8Scorer'"),
        ([{}], {}, r"scorers\.0\.class_name is missing"),
    ],
)
def test_mistakes_in_settings(scorers, settings, message):
    with pytest.raises(ConfigError, match=message):
        composite(*scorers, **settings)


def test_mismatch_of_two_scorers_is_one_line():
    one = {"class_name": "DetoxifyToxicityScorer", "version": "1+original-c1212f89", "settings": {}}
    assert scorer_mismatch(one, dict(one)) is None
    line = scorer_mismatch(one, {**one, "version": "1+unbiased-c7548aa0"})
    assert line is not None
    assert "version '1+original-c1212f89'" in line
    assert "version '1+unbiased-c7548aa0'" in line
    assert "\n" not in line
    assert scorer_mismatch(one, {**one, "settings": {"max_length": 64}})
    assert scorer_mismatch(one, {**one, "class_name": "ProfanityScorer"})
    assert scorer_mismatch(one, {**one, "active_detectors": []})


@pytest.mark.parametrize(
    ("settings", "bounds"),
    [({}, (0.0, 1.0)), ({"weights": [1, 3]}, (0.0, 3.0)), ({"combine": "sum", "weights": [1, 3]}, (0.0, 4.0))],
)
def test_bounds_of_scores_follow_from_those_of_the_parts(settings, bounds, monkeypatch):
    monkeypatch.setattr(Letters, "score_bounds", (0.0, 1.0), raising=False)
    assert composite(A, B, **settings).score_bounds == bounds
    assert composite(A, PLACE).score_bounds == (0.0, float("inf"))  # no bound is known of the second part
    assert composite(A, PLACE, combine="sum").score_bounds == (-float("inf"), float("inf"))
