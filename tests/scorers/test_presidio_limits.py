"""Presidio's own detections, in linear time, and never fewer of them for lack of time."""

import random

import pytest
from presidio_analyzer import LemmaContextAwareEnhancer, pattern_recognizer

from phf.scorers.pii.presidio import PresidioScorer

PIECES = [
    *("bank account ", "945456787654 ", "the ", "of ", ", ", "\n", "  ", "phone:", "212-555-5555 ", "social security "),
    *(
        "536-90-4399 ",
        "driver license ",
        "A1234567 ",
        "jane@example.com ",
        "http://a.com/b?c=d ",
        "card ",
        "1 Jan 1990 ",
    ),
    *("10.0.0.1", "ip ", "passport", "(123456789)", "漢字 ", "be ", "-PRON- ", ": ", "a:b ", "4111111111111111 "),
]


@pytest.fixture(scope="module")
def scorer():
    return PresidioScorer(score_threshold=0.0)


def detections(scorer, text):
    results = scorer._analyzer.analyze(text, language="en", score_threshold=0.0)
    return sorted((result.start, result.end, result.entity_type, result.score) for result in results)


@pytest.mark.parametrize("counts", [(5, 0), (0, 3), (2, 2)])
def test_words_around_a_detection_count_as_with_presidios_own_enhancer(scorer, monkeypatch, counts):
    engine = scorer._analyzer
    linear = engine.context_aware_enhancer
    own = LemmaContextAwareEnhancer()
    for enhancer in (linear, own):
        monkeypatch.setattr(enhancer, "context_prefix_count", counts[0])
        monkeypatch.setattr(enhancer, "context_suffix_count", counts[1])
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randrange(1, 30))) for _ in range(60)]
    of_texts = [detections(scorer, text) for text in texts]
    monkeypatch.setattr(engine, "context_aware_enhancer", own)
    assert of_texts == [detections(scorer, text) for text in texts]
    assert any(score not in (0.01, 0.05) for of_text in of_texts for *_, score in of_text)


def test_a_pattern_that_runs_out_of_time_leaves_the_text_unscored(scorer, monkeypatch):
    monkeypatch.setattr(pattern_recognizer, "REGEX_TIMEOUT_SECONDS", 1e-6)
    scorer.unscored.clear()
    text = "www." * 500
    assert scorer.score_texts([text]) == [None]
    assert scorer.unscored == {"too many characters for a pattern in too long a text": 1}
    assert scorer.spans(text) == []


@pytest.mark.slow
def test_long_text_of_detections_is_scored(scorer):
    (score,) = scorer.score_texts(["https://a.com/b?c=d&e " * 5_000])  # minutes if each looked at all tokens
    assert score is not None
