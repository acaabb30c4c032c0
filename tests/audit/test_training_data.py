"""Whether a dataset is that of a model, and which of its documents were held out."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.audit.planted import write_corpus
from tests.tiny import tiny_config, tiny_tokenizer

from phf.audit import training_data
from phf.audit.training_data import check_annotated, compare_with_training, corpus_of
from phf.config import dump_config
from phf.errors import CorpusError
from phf.runs.data import CONTENT


@pytest.fixture
def described(monkeypatch):
    """Sources whose names are all that their manifests say."""
    known = {
        "a": {"source": "mail", CONTENT: "aa", "segmenter": "lines", "num_documents": 5, "num_segments": 9},
        "b": {"source": "news", CONTENT: "bb", "segmenter": "lines", "num_documents": 6, "num_segments": 9},
        "again": {"source": "mail", CONTENT: "cc", "segmenter": "lines", "num_documents": 5, "num_segments": 9},
        "raw": {"source": "raw"},
    }
    monkeypatch.setattr(training_data, "describe_sources", lambda names: [known[name] for name in names])
    return known


def model_of(folder, recorded, source="a", **changes):
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(tiny_config(source, **changes)))
    (folder / "provenance.json").write_text(json.dumps({"dataset": recorded}))
    return folder / "model"


@pytest.mark.parametrize(
    ("sources", "is_trained_on", "is_whole", "says"),
    [
        (["a", "b"], True, True, "This is the data that the model was trained on."),
        (["a"], True, False, "This is a part of the data that the model was trained on."),
        (["a", "again"], None, False, "another annotation with as many documents and segments"),
        (["raw"], None, False, "not known: its run records 5 documents of mail"),
    ],
)
def test_what_a_dataset_is_to_a_model(described, tmp_path, sources, is_trained_on, is_whole, says):
    model = model_of(tmp_path / "run", [described["a"], described["b"]])
    data = compare_with_training(model, sources)
    assert (data.is_trained_on, data.is_whole) == (is_trained_on, is_whole)
    assert says in data.sentence


@pytest.mark.parametrize("recorded", [["a"], ["a", "b"], []])
def test_data_that_is_given_more_often_than_it_was_trained_on_is_refused(described, tmp_path, recorded):
    model = model_of(tmp_path / "run", [described[name] for name in recorded])
    with pytest.raises(CorpusError, match="a and a are the same data, so each text would be counted 2 times"):
        compare_with_training(model, ["a", "b", "a"])


def test_data_that_was_trained_on_twice_may_be_given_twice(described, tmp_path):
    model = model_of(tmp_path / "run", [described["a"], described["a"]])
    assert compare_with_training(model, ["a", "a"]).is_whole


def test_other_data_is_named_next_to_what_was_trained_on(described, tmp_path):
    data = compare_with_training(model_of(tmp_path / "run", [described["a"]]), ["b"])
    assert data.is_trained_on is False
    assert "5 documents of mail (annotation aa), and this is 6 documents of news (annotation bb)" in data.sentence


def test_a_model_from_elsewhere_records_nothing(described, tmp_path):
    data = compare_with_training(tmp_path, ["a"])
    assert data.is_trained_on is None
    assert "records no training data" in data.sentence


def store_of_hashes(*hashes):
    documents = np.array(
        list(zip(hashes, [10] * len(hashes), strict=True)), [("split_hash", "<u8"), ("num_bytes", "<u4")]
    )
    return SimpleNamespace(documents=documents)


def test_documents_that_were_held_out_are_not_counted(described, tmp_path):
    store = store_of_hashes(0, 2**62, 2**63, 2**64 - 1)
    model = model_of(tmp_path / "ids", [described["a"]], **{"dataset.eval_fraction": 0.3})
    assert compare_with_training(model, ["a"]).documents_trained_on(store).tolist() == [False, False, True, True]
    assert compare_with_training(model, ["b"]).documents_trained_on(store) is None, "another dataset"
    grouped = {"dataset.eval_fraction": 0.3, "dataset.eval_group": "thread"}
    model = model_of(tmp_path / "groups", [described["a"], described["b"]], **grouped)
    data = compare_with_training(model, ["a", "b"])
    assert data.eval_group == "thread"
    assert data.documents_trained_on(store_of_hashes(5, 5, 9, 7, 9)).sum() in (3, 4)
    assert compare_with_training(model, ["a"]).documents_trained_on(store) is None, "groups depend on all of the data"
    model = model_of(tmp_path / "none", [described["a"]], **{"dataset.eval_fraction": 0})
    assert compare_with_training(model, ["a"]).documents_trained_on(store) is None, "none was held out"


def test_a_part_of_grouped_data_is_encoded_without_its_groups(described, tmp_path):
    model = model_of(tmp_path / "run", [described["a"], described["b"]], **{"dataset.eval_group": "thread"})
    for sources, group in ((["a", "b"], "thread"), (["a"], None)):
        corpus = corpus_of(model, tiny_tokenizer(), compare_with_training(model, sources), "scores")
        assert (corpus.eval_group, corpus.tokenization) == (group, "segments")


def test_a_dataset_without_scores_is_refused(tmp_path):
    (tmp_path / "raw.jsonl").write_text('{"text": "Hello."}\n')
    with pytest.raises(CorpusError, match="is not annotated"):
        check_annotated([str(tmp_path / "raw.jsonl")], "scores")
    source = write_corpus(tmp_path / "data", [(["a"], [0.0])])
    with pytest.raises(CorpusError, match="pii_scores"):
        check_annotated([source], "pii_scores")
