"""Scoring a piece: what becomes of scorers that raise, and of whoever is killed in the middle of one."""

import json
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from phf.annotate import scoring
from phf.annotate.scoring import score_piece
from phf.corpus.sources.documents import Document
from phf.errors import ScorerError
from phf.scorers import Scorer, build_scorer


class CountingScorer:
    """A user's own: it says why it does not score spaces, and raises on digits."""

    def __init__(self) -> None:
        self.unscored: Counter[str] = Counter()

    def score_texts(self, texts: list[str]) -> list[float | None]:
        self.unscored["space"] += sum(map(str.isspace, texts))
        if any(map(str.isdigit, texts)):
            raise KeyError
        return [None if text.isspace() else 1.0 for text in texts]


def test_what_a_users_own_scorer_counts_is_in_every_piece_also_after_it_raised(tmp_path):
    name = f"{__name__}:CountingScorer"
    scorers = {"scores": build_scorer({"class_name": name})}
    for number, (text, reasons) in enumerate([("7", {f"{name} raised KeyError": 1, "space": 1}), ("a", {"space": 1})]):
        documents = [Document("0", " "), Document("1", text)]
        assert score_piece(str(number), documents, scorers, "lines", tmp_path).reasons == reasons


def test_why_a_scorer_raised_is_reported_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(scoring, "_reported", set())
    scorer = build_scorer({"class_name": "tests.annotate.scorers_for_tests:RaisingScorer"})
    documents = [Document(str(i), "raise\n", None) for i in range(3)]
    score_piece("piece", documents, {"scores": scorer}, "lines", tmp_path)
    (reported,) = caplog.messages
    assert re.search(r"RaisingScorer raised RuntimeError: cannot \(.*scorers_for_tests.py, line \d+\)", reported)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise KeyError("it has no message")


class UnspeakableScorer:
    def score_texts(self, texts: list[str]) -> list[float | None]:
        raise UnspeakableError


def test_an_error_whose_own_message_raises_leaves_the_document_unscored_like_any_other(tmp_path, caplog):
    name = f"{__name__}:UnspeakableScorer"
    scorers = {"scores": build_scorer({"class_name": name})}
    result = score_piece("piece", [Document("0", "a")], scorers, "lines", tmp_path)
    assert result.reasons == {f"{name} raised UnspeakableError": 1}
    assert "test_scoring.py" in caplog.text


class GeneratorScorer(Scorer):
    def score_documents(self, documents):
        return ([0.0] for _ in documents)


def test_scores_of_documents_that_are_not_a_list_are_refused(tmp_path):
    with pytest.raises(ScorerError, match=r"score_documents returned a generator for 1 document\."):
        score_piece("piece", [Document("0", "a")], {"scores": GeneratorScorer()}, "lines", tmp_path)


class SlowScorer(Scorer):
    """Says what it is asked, leaves a few unscored, raises on one, and is interrupted at another."""

    batch_chars = 4

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.interrupts_at: str | None = None

    def score_documents(self, documents):
        return [self.score_texts(segments) for segments in documents]

    def score_texts(self, texts):
        if self.interrupts_at in texts:
            raise KeyboardInterrupt
        if "raise" in texts:
            raise RuntimeError
        self.seen += texts
        self.unscored["silent"] += texts.count("none")
        return [None if text == "none" else 1 / 3 + len(text) for text in texts]


@pytest.fixture
def saved_at_once(monkeypatch):
    monkeypatch.setattr(scoring, "SECONDS_BETWEEN_SAVES", -1.0)


TEXTS = ["a", "none", "bb", "raise", "ccc", "stop", "dd", "none"]


def test_who_is_killed_in_the_middle_of_a_piece_loses_one_batch(tmp_path, saved_at_once):
    documents = [Document(str(number), text) for number, text in enumerate(TEXTS)]
    first, second = SlowScorer(), SlowScorer()
    first.interrupts_at = "stop"
    with pytest.raises(KeyboardInterrupt):
        score_piece("piece", documents, {"scores": first, "more_scores": first}, "document", tmp_path)
    again = score_piece("piece", documents, {"scores": second, "more_scores": second}, "document", tmp_path)
    assert second.seen[:3] == ["ccc", "stop", "dd"]  # the batch of the interruption, and what follows
    assert second.seen.count("a") == 1  # the second column had not been begun
    other = tmp_path / "other"
    other.mkdir()
    whole = score_piece("piece", documents, {"scores": SlowScorer(), "more_scores": SlowScorer()}, "document", other)
    assert again == whole
    assert whole.reasons == {"SlowScorer raised RuntimeError": 2, "silent": 4}
    assert {p.name: p.read_bytes() for p in tmp_path.glob("piece*")} == {
        p.name: p.read_bytes() for p in other.iterdir()
    }


@pytest.mark.parametrize("damage", ["cut", "documents", "segmenter"])
def test_saved_scores_of_something_else_are_not_used(damage, tmp_path, saved_at_once):
    documents = [Document(str(number), text) for number, text in enumerate(TEXTS)]
    first, second = SlowScorer(), SlowScorer()
    first.interrupts_at = "stop"
    with pytest.raises(KeyboardInterrupt):
        score_piece("piece", documents, {"scores": first}, "document", tmp_path)
    segmenter = "document"
    if damage == "cut":
        path = tmp_path / "piece.scores.json"
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "documents":
        documents[0] = Document("0", "b")
    else:
        segmenter = "lines"
    score_piece("piece", documents, {"scores": second}, segmenter, tmp_path)
    assert second.seen[0] == documents[0].text


def test_a_piece_is_one_row_group_and_one_without_documents_is_only_counted(tmp_path):
    documents = [Document(str(number), "x\n" * 10) for number in range(100)]
    result = score_piece("piece", documents, {"scores": SlowScorer()}, "lines", tmp_path)
    assert (result.num_documents, result.num_text_bytes, result.num_segments) == (100, 2000, 1000)
    assert pq.read_metadata(tmp_path / "piece.parquet").num_row_groups == 1
    assert score_piece("none", [], {"scores": SlowScorer()}, "lines", tmp_path).num_documents == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.json", "piece.json", "piece.parquet"]
    assert json.loads((tmp_path / "piece.json").read_text())["num_documents"] == 100
