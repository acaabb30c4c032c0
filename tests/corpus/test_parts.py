"""Ids are unique in a corpus, however its files are laid out, and small files are read together."""

import json
import os
from pathlib import Path

import pytest
from tests.corpus.corpora import ids, put, put_parquet, read

from phf.annotate.cache import distinct_prefixes, ensure_annotated
from phf.corpus.sources import parts
from phf.corpus.sources.documents import fingerprint
from phf.corpus.sources.parts import list_corpus
from phf.errors import CorpusError
from phf.tokens.pieces import read_sources


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("", "lang=de/part-0.parquet:0"),  # Hive: a folder of key=value folders is one table
        ("lang=*", "lang=de/part-0.parquet:0"),
        ("*/*.parquet", "lang=de/part-0.parquet:0"),
        ("**/*.parquet", "lang=de/part-0.parquet:0"),
        ("lang=de", "part-0.parquet:0"),
        ("lang=de/part-0.parquet", "part-0.parquet:0"),
    ],
)
def test_files_of_one_name_in_several_folders(tmp_path, source, first):
    for name in ("de", "en"):
        put_parquet(tmp_path / "table" / f"lang={name}" / "part-0.parquet")
    names = ids(tmp_path / "table" / source)
    assert names[0] == first
    assert len(set(names)) == len(names) == (1 if source.startswith("lang=de") else 2)


def test_ids_of_several_sources_begin_below_the_folder_that_holds_them_all(tmp_path):
    for name in ("en/a.jsonl", "de/a.jsonl", "code/a.py", "other/code/a.py"):
        put(tmp_path / name, *(["x = 1\n"] if name.endswith(".py") else []))
    assert ids(tmp_path / "en", tmp_path / "de") == ["en/a.jsonl:0", "de/a.jsonl:0"]
    assert ids(tmp_path / "en" / "a.jsonl", tmp_path / "*" / "a.py") == ["en/a.jsonl:0", "code/a.py"]
    assert ids(tmp_path / "code", tmp_path / "other" / "code") == ["code/a.py", "other/code/a.py"]
    (tmp_path / "code").rename(tmp_path / "elsewhere")
    whole = tmp_path.rename(tmp_path.with_name("moved"))
    assert ids(whole / "en", whole / "de") == ["en/a.jsonl:0", "de/a.jsonl:0"]  # a corpus that moves as a whole
    whole.rename(tmp_path)


def test_sources_without_files_of_their_own_keep_apart(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    for name in ("x", "y"):
        datasets.Dataset.from_list([{"text": name}]).save_to_disk(str(tmp_path / name / "train"))
    assert ids(tmp_path / "x" / "train", tmp_path / "y" / "train") == ["x/train:0", "y/train:0"]
    assert ids(tmp_path / "x" / "train") == ["train:0"]
    rows = datasets.Dataset.from_list([{"text": "x"}])
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: rows)
    monkeypatch.setenv("HTTPS_PROXY", "nobody asks")
    assert ids("one/c4", "two/c4") == ["one/c4:0", "two/c4:0"]
    assert ids("one/c4") == ["c4:0"]
    put(tmp_path / "code" / "ast.py", "x = 1\n")
    document_ids = ids(tmp_path / "code", "python-stdlib")
    assert len(set(document_ids)) == len(document_ids)
    assert {"ast.py", "python-stdlib/ast.py"} <= set(document_ids)


@pytest.mark.parametrize("again", ["{}", "{}/../{}", "{}/a.jsonl", "{}/*.jsonl"])
def test_what_is_named_twice_is_read_once_and_reported(tmp_path, monkeypatch, again):
    monkeypatch.chdir(tmp_path)
    put(Path("corpus", "a.jsonl"))
    documents, _, warnings = read("corpus", again.replace("{}", "corpus"))
    assert len(documents) == 1
    assert "corpus/a.jsonl" in warnings[0]
    assert "read once" in warnings[0]


def test_a_split_of_a_saved_dataset_that_is_named_beside_it_is_read_once(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"text": "x"}])
    datasets.DatasetDict(train=rows, test=rows).save_to_disk(str(tmp_path / "saved"))
    documents, notes, warnings = read(tmp_path / "saved", tmp_path / "saved" / "train")
    assert len(documents) == 1
    assert "read once" in warnings[0]
    assert notes.left_out["splits other than train of a saved dataset"].names == [str(tmp_path / "saved" / "test")]


def test_names_that_are_not_utf8_are_kept_distinct(tmp_path):
    for name in (b"\x80.jsonl", b"\x81.jsonl"):
        put(tmp_path / os.fsdecode(name))
    assert ids(tmp_path) == ["\\x80.jsonl:0", "\\x81.jsonl:0"]


def test_a_source_without_a_name_is_refused():
    with pytest.raises(CorpusError, match="name of a source is empty"):
        list_corpus([""])


def write_small(folder, number):
    for i in range(number):
        put(folder / f"{i:04d}.jsonl", json.dumps({"text": f"x = {i}\n"}) + "\n")


def test_few_files_have_parts_of_their_own_and_many_small_ones_share_some(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_FILES", 500)
    write_small(tmp_path / "few", parts.GROUPED_ABOVE)
    assert [len(part.files) for part in list_corpus([str(tmp_path / "few")]).parts] == [1] * parts.GROUPED_ABOVE
    write_small(tmp_path / "many", 1500)
    many = list_corpus([str(tmp_path / "many")]).parts
    assert 2 <= len(many) <= 10
    assert [name for part in many for name in (file.name for file in part.files)] == [
        f"{i:04d}.jsonl" for i in range(1500)
    ]
    assert ids(tmp_path / "many") == [f"{i:04d}.jsonl:0" for i in range(1500)]


def test_large_files_are_not_put_together(tmp_path):
    write_small(tmp_path, 40)
    for i in (3, 20, 21):
        put(tmp_path / f"{i:04d}.jsonl", json.dumps({"text": "x" * 1_000_000}) + "\n")
    assert len(list_corpus([str(tmp_path)]).parts) == 1
    listed = list_corpus([str(tmp_path)], group_bytes=1_000_000).parts
    alone = [part.files[0].name for part in listed if len(part.files) == 1]
    assert {"0003.jsonl", "0020.jsonl", "0021.jsonl"} <= set(alone)


def test_a_change_leaves_the_groups_of_other_files_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_FILES", 20)
    write_small(tmp_path, 200)

    def groups():
        return {tuple(file.name for file in part.files) for part in list_corpus([str(tmp_path)]).parts}

    before = groups()
    assert len(before) > 4
    put(tmp_path / "0077.jsonl", json.dumps({"text": "y" * 500}) + "\n")
    put(tmp_path / "0077a.jsonl")
    assert len(before - groups()) == 1


def test_raw_sources_of_one_training_keep_apart_where_their_names_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    scorer = {"class_name": "PEP8Scorer"}
    for name in ("en/a.jsonl", "de/a.jsonl", "fr/b.jsonl"):
        put(tmp_path / name)
    same, other = [str(tmp_path / "en"), str(tmp_path / "de")], str(tmp_path / "fr")
    assert distinct_prefixes([same[0], other]) == dict.fromkeys((same[0], other), "")
    prefixes = distinct_prefixes(same)
    assert list(prefixes.values()) == ["en", "de"]
    folders = [ensure_annotated(source, scorer, None, prefix=prefixes[source]) for source in same]
    assert [document.id for document in read_sources(folders, "scores")] == ["en/a.jsonl:0", "de/a.jsonl:0"]
    assert ensure_annotated(same[0], scorer, None) != folders[0]


def test_what_training_does_not_read_is_logged_once(tmp_path, caplog):
    row = json.dumps({"texts": ["a"], "scores": [0.5]}) + "\n"
    for name in ("train.jsonl", "test.jsonl", "notes.md"):
        put(tmp_path / name, row if name.endswith("l") else "Notes.\n")
    for _ in range(2):
        assert len(list(read_sources([str(tmp_path)], "scores"))) == 2
    assert [record.getMessage().count("notes.md") for record in caplog.records] == [0, 1]
    assert "all of its splits are read" in caplog.text


def test_annotated_sources_without_ids_keep_apart_where_their_names_are_the_same(tmp_path):
    row = json.dumps({"texts": ["a"], "scores": [0.5]}) + "\n"
    sources = [str(put(tmp_path / name / "a.jsonl", row).parent) for name in ("en", "de")]
    assert [document.id for document in read_sources(sources, "scores")] == ["en/a.jsonl:0", "de/a.jsonl:0"]
    assert [document.id for document in read_sources(sources[:1], "scores")] == ["a.jsonl:0"]
    assert fingerprint(sources[0]) != fingerprint(sources[1])
