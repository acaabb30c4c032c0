"""Where a corpus is cut into shards."""

import re
from collections import Counter

import pytest

from phf.annotate import shard
from phf.annotate.shard import ShardTask, score_shard, shard_tasks
from phf.corpus.sources.documents import Document
from phf.errors import ScorerError
from phf.scorers import Scorer, build_scorer


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(shard, "SHARD_CHARS", 100)
    monkeypatch.setattr(shard, "SHARD_DOCUMENTS", 50)
    monkeypatch.setattr(shard, "LEAST_SHARD_CHARS", 20)


def sizes(lengths, is_last_part):
    documents = [Document(str(number), "x" * length) for number, length in enumerate(lengths)]
    tasks = list(shard_tasks(3, documents, is_last_part=is_last_part))
    assert [document for task in tasks for document in task.documents] == documents
    assert [task.name for task in tasks] == [f"shard-00003-{number:06d}.parquet" for number in range(len(tasks))]
    return [sum(len(document.text) for document in task.documents) for task in tasks]


def test_shards_are_of_a_size_but_smaller_and_smaller_at_the_end_of_the_corpus():
    assert sizes([10] * 67, is_last_part=False) == [100, 100, 100, 100, 100, 100, 70]
    # 670, 570 and 470 are more than four shards; then a quarter of 370, 270, 200, 150, ..., in whole documents
    assert sizes([10] * 67, is_last_part=True) == [100, 100, 100, 100, 70, 50, 40, 30, 20, 20, 20, 20]


def test_large_and_empty_documents_are_cut_like_others():
    assert sizes([0, 950, 0, 0, 10, 300], is_last_part=True) == [950, 310]
    assert sizes([0, 0], is_last_part=True) == sizes([0, 0], is_last_part=False) == [0]
    assert sizes([], is_last_part=True) == []


def test_a_shard_has_no_more_documents_than_allowed_however_short_they_are():
    assert sizes([0] * 120, is_last_part=True) == sizes([0] * 120, is_last_part=False) == [0, 0, 0]
    assert sizes([1] * 430, is_last_part=False) == [50] * 8 + [30]


class CountingScorer:
    """A user's own: it says why it does not score spaces, and raises on digits."""

    def __init__(self) -> None:
        self.unscored: Counter[str] = Counter()

    def score_texts(self, texts: list[str]) -> list[float | None]:
        self.unscored["space"] += sum(map(str.isspace, texts))
        if any(map(str.isdigit, texts)):
            raise KeyError
        return [None if text.isspace() else 1.0 for text in texts]


def test_what_a_users_own_scorer_counts_is_in_every_shard_also_after_it_raised(tmp_path):
    name = f"{__name__}:CountingScorer"
    scorers = {"scores": build_scorer({"class_name": name})}
    for number, (text, reasons) in enumerate([("7", {f"{name} raised KeyError": 1, "space": 1}), ("a", {"space": 1})]):
        task = ShardTask(f"{number}.parquet", [Document("0", " "), Document("1", text)])
        assert score_shard(task, scorers, "lines", tmp_path).reasons == reasons


def test_why_a_scorer_raised_is_told_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shard, "_told", set())
    scorer = build_scorer({"class_name": "tests.annotate.scorers_for_tests:RaisingScorer"})
    documents = [Document(str(i), "raise\n", None) for i in range(3)]
    score_shard(ShardTask("shard-00000-000000.parquet", documents), {"scores": scorer}, "lines", tmp_path)
    (told,) = caplog.messages
    assert re.search(r"RaisingScorer raised RuntimeError: cannot \(.*scorers_for_tests.py, line \d+\)", told)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise KeyError("it has no message")


class UnspeakableScorer:
    def score_texts(self, texts: list[str]) -> list[float | None]:
        raise UnspeakableError


def test_an_error_whose_own_message_raises_leaves_the_document_unscored_like_any_other(tmp_path, caplog):
    name = f"{__name__}:UnspeakableScorer"
    task = ShardTask("0.parquet", [Document("0", "a")])
    found = score_shard(task, {"scores": build_scorer({"class_name": name})}, "lines", tmp_path)
    assert found.reasons == {f"{name} raised UnspeakableError": 1}
    assert "test_shard.py" in caplog.text


class GeneratorScorer(Scorer):
    def score_documents(self, documents):
        return ([0.0] for _ in documents)


def test_scores_of_documents_that_are_no_list_are_refused(tmp_path):
    task = ShardTask("0.parquet", [Document("0", "a")])
    with pytest.raises(ScorerError, match="score_documents returned a generator for 1 documents"):
        score_shard(task, {"scores": GeneratorScorer()}, "lines", tmp_path)
