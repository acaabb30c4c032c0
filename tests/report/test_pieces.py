"""Pieces of a sample with what a scorer found, and their way from the evaluation to the page."""

import random

from phf.evaluation.generation.evaluator import ScoredSamples, sample_lines
from phf.report.samples import pieces_of
from phf.runs.reader import _last_samples
from phf.runs.writer import RunWriter
from phf.sampling.generate import Samples
from phf.scorers.pep8.scorer import PEP8Scorer


def test_pieces_by_hand():
    assert pieces_of("mail a@b.co now", [(5, 11, "email")]) == [("mail ", ""), ("a@b.co", "email"), (" now", "")]
    assert pieces_of("abcd", [(0, 3, "x"), (2, 9, "y")]) == [("ab", "x"), ("c", "x, y"), ("d", "y")]
    assert pieces_of("", [(0, 1, "x")]) == []
    assert pieces_of("ab", [(1, 1, "x"), (5, 9, "y"), (2, 1, "z")]) == [("ab", "")]


def test_pieces_are_the_text_whatever_the_spans():
    rng = random.Random(0)
    for _ in range(200):
        spans = [(rng.randrange(-2, 12), rng.randrange(-2, 12), "x") for _ in range(rng.randrange(5))]
        pieces = pieces_of("abcdefgh", spans)
        assert "".join(text for text, _ in pieces) == "abcdefgh"
        covered = {i for start, end, _ in spans for i in range(max(start, 0), min(end, 8))}
        marked = [label == "x" for text, label in pieces for _ in text]
        assert marked == [i in covered for i in range(8)]


def test_what_was_found_is_written_with_the_samples_and_read_again(tmp_path):
    segments = [["x=1\n", "y = 1\n"], ["z = 1\n"]]
    spans = PEP8Scorer().documents_spans(segments)
    samples = Samples(["", ""], ["".join(parts) for parts in segments], 1.0)
    scored = ScoredSamples(samples, [0.1, 0.0], segments, [[0.25, 0.0], [0.0]], spans)
    RunWriter(tmp_path).write_samples("free", 3, sample_lines(scored))
    step, (first, second) = _last_samples(tmp_path / "samples" / "free.jsonl", [])
    assert step == 3
    assert [tuple(span) for span in first.segment_spans[0]] == [(1, 2, "E225")]
    assert first.segment_spans[1] == []
    assert second.segment_spans == []
