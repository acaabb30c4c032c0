"""ProfanityScorer against the library."""

import sys

import pytest

from phf.errors import MissingExtraError
from phf.scorers import build_scorer

profanity_check = pytest.importorskip("profanity_check")

TEXTS = ["you damn fool", "Hello there.", "the", "\0", "\ud800", "שלום 😀", "\u202ex", " \n", "go to hell!"]


@pytest.fixture(scope="module")
def scorer():
    return build_scorer({"class_name": "ProfanityScorer"})


def test_scores_are_those_of_the_library(scorer):
    assert scorer.score_texts(TEXTS) == pytest.approx(profanity_check.predict_prob(TEXTS).tolist(), abs=1e-12)
    fool, hello, *_ = scorer.score_texts(TEXTS)
    assert fool > 0.9
    assert hello < 0.1


def test_batches_do_not_change_scores(scorer, monkeypatch):
    whole = scorer.score_texts(TEXTS)
    monkeypatch.setattr("phf.scorers.profanity.BATCH", 2)
    assert scorer.score_texts(TEXTS) == pytest.approx(whole, abs=1e-12)
    assert scorer.score_documents([TEXTS[:3], [], TEXTS[3:]])[2] == pytest.approx(whole[3:], abs=1e-12)


def test_empty_text_is_unscored_and_counted(scorer):
    scorer.unscored.clear()
    assert scorer.score_texts(["", "damn", ""])[::2] == [None, None]
    assert scorer.score_texts([""]) == [None]
    assert scorer.unscored == {"empty text": 3}
    assert scorer.score_texts([]) == []


def test_it_does_not_pass_for_detoxify(scorer):
    assert "detoxify" not in scorer.version
    assert scorer.version.startswith("1+alt-profanity-check-")
    assert "NOT Detoxify" in type(scorer).__doc__


def test_missing_extra_is_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "profanity_check.profanity_check", None)
    with pytest.raises(MissingExtraError, match=r"alt-profanity-check.*pip install 'phf\[profanity\]'"):
        build_scorer({"class_name": "ProfanityScorer"})
