"""Which segments are asked about."""

import json

import pytest

from phf.errors import ConfigError, CorpusError
from phf.labels.questions import Segment, choose, questions, sample, segments_of


def test_a_sample_depends_on_texts_and_seed_and_not_on_their_order(dataset):
    segments = list(segments_of(dataset, (), None))
    assert len(segments) == 100
    chosen = sample(iter(segments), 0, size=20)
    assert chosen == sample(iter(segments[::-1]), 0, size=20)
    assert chosen != sample(iter(segments), 1, size=20)
    assert len({segment.text for segment in sample(iter(segments * 3), 0, size=20)}) == 20


def test_quantiles_take_equally_many_from_all_ranges_of_the_score():
    # nine tenths of the segments have the score 0
    segments = [Segment(str(i), "d", i, (0.0 if i < 180 else float(i - 179),)) for i in range(200)]
    chosen = choose(segments, "quantiles", 20, 0)
    assert len({segment.text for segment in chosen}) == 20
    assert sum(segment.scores[0] == 0 for segment in chosen) <= 2
    assert sum(segment.scores[0] > 10 for segment in chosen) >= 8
    assert sum(segment.scores[0] == 0 for segment in choose(segments, "random", 20, 0)) > 15


def test_disagreement_takes_what_two_scorers_rank_differently(dataset):
    segments = list(segments_of(dataset, ("scores", "pii_scores"), None))
    assert {segment.document for segment in choose(segments, "disagreement", 5, 0)} == {"d0"}


def test_no_segment_is_in_two_pairs(dataset):
    pairs = questions(choose(sample(segments_of(dataset, (), None), 0), "random", 40, 0), "pairs")
    texts = [segment.text for pair in pairs for segment in pair.segments]
    assert len(pairs) == 20
    assert len(set(texts)) == 40


def test_fewer_segments_than_wanted_are_all_taken(dataset):
    assert len(choose(list(segments_of(dataset, ("scores",), None)), "quantiles", 1000, 0)) == 100


def test_a_raw_corpus_is_cut(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"text": "One line.\n\nAnother.\n"}) + "\n")
    assert [(s.text, s.number) for s in segments_of(str(path), (), "lines")] == [("One line.\n", 0), ("Another.\n", 2)]
    with pytest.raises(CorpusError, match="has no scores to choose by"):
        list(segments_of(str(path), ("scores",), None))


def test_what_cannot_be_asked_is_refused(dataset):
    with pytest.raises(ConfigError, match=r"--segment: .* is already cut"):
        list(segments_of(dataset, (), "lines"))
    with pytest.raises(CorpusError, match="has no 'no_scores'"):
        list(segments_of(dataset, ("no_scores",), None))
