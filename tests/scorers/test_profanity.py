"""ProfanityScorer against the library."""

import argparse
import inspect
import json
import sys
import typing

import numpy as np
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


def test_scores_are_those_of_the_library_on_real_prose(scorer):
    docs = [inspect.getdoc(module) or "" for module in (argparse, inspect, json, sys, typing)]
    texts = [line for doc in docs for line in doc.splitlines() if line] + [
        "Die naïve Ärztin",
        "x²_y été",
        "日本語 damn",
        "İfoo",
    ]
    assert scorer.score_texts(texts) == pytest.approx(profanity_check.predict_prob(texts).tolist(), abs=1e-12)


def test_a_release_with_another_kind_of_model_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr("profanity_check.profanity_check.predict_prob", lambda texts: np.full(len(texts), 0.25))
    assert build_scorer({"class_name": "ProfanityScorer"}).score_texts(["damn", ""]) == [0.25, None]


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
