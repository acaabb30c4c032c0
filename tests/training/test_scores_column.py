"""A dataset that lacks the scores it is to be trained on is refused, with the columns that it has, before any work."""

import json

import pytest
from tests.tiny import tiny_config

from phf.corpus.dataset import read_annotated
from phf.errors import CorpusError
from phf.profile.measure import profile_dataset
from phf.training import data as training_data
from phf.training.run import train

METHODS = ["mle", "filtering", "conditional", "ul", "awr", "rwr"]


def dataset(folder, **columns):
    rows = [{"texts": ["x = 1\n", "y  =2\n"] * 40, **{k: [0.0, 0.5] * 40 for k in columns}} for _ in range(4)]
    path = folder / f"{'-'.join(columns) or 'none'}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def no_work(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a tokenizer was trained, or a corpus annotated")

    monkeypatch.setattr(training_data, "load_tokenizer", fail)
    monkeypatch.setattr("phf.tokens.prepare.ensure_annotated", fail)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_the_columns_there_are(method, tmp_path, no_work):
    config = tiny_config(dataset(tmp_path, pii_scores=1, toxicity_scores=1), method)
    with pytest.raises(
        CorpusError, match=r"has no 'scores'. Columns of scores there: pii_scores, toxicity_scores; set"
    ):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "provenance.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset.scores_column": "pii_scores"}, r"has no 'pii_scores'. Columns of scores there: scores;"),
        ({"dataset.eval_fraction": 0, "dataset.eval_datasets": ["OTHER"]}, r"There are no columns of scores there"),
        ({"dataset.eval_fraction": 0, "dataset.eval_datasets": ["OTHER"], "dataset.streaming": True}, "no columns of"),
        ({"dataset.datasets": ["RAW"], "dataset.scores_column": "pii_scores"}, r"raw.txt is raw text.*'pii_scores'"),
    ],
)
def test_held_out_data_and_other_columns_are_looked_at_too(changes, message, tmp_path, no_work):
    (tmp_path / "raw.txt").write_text("x = 1\n" * 100)
    places = {"OTHER": dataset(tmp_path), "RAW": str(tmp_path / "raw.txt")}
    changes = {key: [places[v] for v in value] if isinstance(value, list) else value for key, value in changes.items()}
    config = tiny_config(dataset(tmp_path, scores=1), "mle", **changes)
    with pytest.raises(CorpusError, match=message):
        train(config, tmp_path / "run")


def test_reading_and_profiling_say_the_same(tmp_path):
    source = dataset(tmp_path, pii_scores=1)
    with pytest.raises(CorpusError, match="Columns of scores there: pii_scores"):
        list(read_annotated(source))
    with pytest.raises(CorpusError, match="--scores-column"):
        profile_dataset(source)
    assert len(list(read_annotated(source, "pii_scores"))) == 4


@pytest.mark.parametrize("value", [None, "high", 0.5])
def test_a_column_without_lists_is_shown_with_its_value(tmp_path, value):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"texts": ["x"], "scores": [0], "pii_scores": value}) + "\n")
    with pytest.raises(CorpusError, match=rf"line 1: 'pii_scores' is {value!r}; a list with a score or null for each"):
        list(read_annotated(str(path), "pii_scores"))
