"""PresidioScorer by hand, without a model and without a network."""

import socket
import sys

import pytest
import spacy

from phf.errors import ConfigError, MissingExtraError
from phf.scorers import build_scorer
from phf.scorers.pii.presidio import PresidioScorer


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def scorer():
    return PresidioScorer()


@pytest.mark.parametrize(
    ("text", "num_detections"),
    [
        ("Write to jane@example.com today", 1),  # e-mail and its domain as a URL: one
        ("Write to jane@example.zzzz", 0),  # no such top-level domain
        ("Mail jane@example.com or joe@example.com", 2),
        ("Call me at 212-555-5555", 1),
        ("Card 4111111111111111", 1),
        ("Card 4111111111111112", 0),  # fails the Luhn check
        ("My SSN is 536-90-4399", 1),
        ("See https://example.com/a", 1),
        ("From 127.0.0.1", 1),
        ("IBAN GB29 NWBK 6016 1331 9268 19", 1),
        ("my bank account number 945456787654", 1),  # the words around it raise its confidence
        ("the number 945456787654", 0),
        ("On 2024-01-02", 0),
        ("Jane lives in Paris", 0),
    ],
)
def test_scores_by_hand(scorer, text, num_detections):
    assert scorer.score_texts([text]) == [num_detections / len(text)]


def test_threshold_and_entities_decide_what_counts():
    text = "See https://example.com/a and jane@example.com"
    assert PresidioScorer(entities=["EMAIL_ADDRESS"]).score_texts([text]) == [1 / len(text)]
    assert PresidioScorer(score_threshold=0.7).score_texts([text]) == [1 / len(text)]  # a URL has 0.6
    assert PresidioScorer(score_threshold=0.0).score_texts(["Number 945456787654"]) == [1 / 19]


@pytest.mark.parametrize("text", ["\0\0", "😀 jane@example.com 😀", "‏שלום jane@example.com", "x" * 20_000, " " * 3000])
def test_hostile_text_is_scored(scorer, text):
    assert scorer.score_texts([text]) == [text.count("@") / len(text)]


def test_text_that_presidio_cannot_take_is_unscored_and_counted(scorer):
    scorer.unscored.clear()
    assert scorer.score_texts(["", "\ud800 is half a character", "x"]) == [None, None, 0.0]
    assert scorer.unscored == {"empty text": 1, "presidio raised UnicodeEncodeError": 1}


def test_a_spacy_model_adds_its_entities(tmp_path):
    model = spacy.blank("en")
    model.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}])
    model.to_disk(tmp_path / "model")
    scorer = build_scorer({"class_name": "PresidioScorer", "nlp_engine": str(tmp_path / "model")})
    assert scorer.score_texts(["Jane Doe, jane@example.com"]) == [2 / 26]
    assert "SpacyRecognizer" in scorer.describe()["active_recognizers"]


def test_settings_and_active_recognisers_are_described(scorer):
    described = build_scorer({"class_name": "PresidioScorer", "score_threshold": 0.5}).describe()
    assert described["settings"] == {"score_threshold": 0.5}
    assert {"EmailRecognizer", "PhoneRecognizer", "CreditCardRecognizer"} <= set(described["active_recognizers"])
    assert "SpacyRecognizer" not in described["active_recognizers"]


def test_mistakes_say_what_to_do(monkeypatch):
    with pytest.raises(ConfigError, match=r"spacy download no_such_model.*only patterns"):
        PresidioScorer(nlp_engine="no_such_model")
    with pytest.raises(ConfigError, match="'' is neither installed nor the folder of a model"):
        PresidioScorer(nlp_engine="")  # which Presidio would take for a wish to download one
    with pytest.raises(ConfigError, match="language is 'zz'; spaCy has no language with that code"):
        PresidioScorer(language="zz")
    with pytest.raises(ConfigError, match=r"no recogniser for entities \['EMAIL'\]. Known: .*EMAIL_ADDRESS"):
        PresidioScorer(entities=["EMAIL"])
    with pytest.raises(ConfigError, match="score_threshold is 2"):
        PresidioScorer(score_threshold=2)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'phf\[presidio\]'"):
        PresidioScorer()


def test_a_word_of_nothing_but_marks_is_unscored_and_not_waited_for(scorer):
    scorer.unscored.clear()
    assert scorer.score_texts(["'" * 100_000]) == [None]
    assert scorer.unscored == {"a word of over 2,000 marks, for which spaCy is too slow": 1}
    assert scorer.spans("'" * 100_000) == []
    assert scorer.score_texts(["a" * 5_000 + "'" * 50]) == [0.0]
    scorer.unscored.clear()
