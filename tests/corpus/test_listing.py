"""Which files of a folder or glob are read, and what is said of the others."""

import gzip
import os
import re

import pytest
from tests.corpus.corpora import ids, left_out, put, put_parquet, read, texts

from phf.annotate.runner import annotate
from phf.corpus.sources.listing import is_text, list_source
from phf.errors import CorpusError


def test_every_format_of_a_folder_of_records_is_read(tmp_path):
    import bz2
    import lzma

    row = b'{"text": "x"}\n'
    put(tmp_path / "1.jsonl", row)
    put(tmp_path / "2.JSONL", row)
    put(tmp_path / "3.jsonlines", row)
    put(tmp_path / "4.ndjson.xz", lzma.compress(row))
    put(tmp_path / "5.jsonl.bz2", bz2.compress(row))
    put(tmp_path / "6.csv", "text\nx\n")
    put(tmp_path / "7.json", '[{"text": "x"}]')
    put(tmp_path / "8", row)
    put_parquet(tmp_path / "9.parquet")
    documents, notes, warnings = read(tmp_path)
    assert [document.text for document in documents] == ["x"] * 9
    assert notes.left_out == {}
    assert "files of several formats are read: csv (1), json (7), parquet (1)" in warnings[0]


def test_what_is_not_read_is_reported_with_its_reason(tmp_path):
    put(tmp_path / "a.jsonl")
    put(tmp_path / "dataset_info.json", '{"features": {}}')
    put(tmp_path / "broken.json", '{"text"')
    put(tmp_path / "numbers.csv", "a,b\n1,2\n")
    put(tmp_path / "LICENSE", "MIT")
    put(tmp_path / "image.png", b"\x89PNG\0")
    put(tmp_path / "empty.txt", "")
    put(tmp_path / "empty.jsonl", "")
    put(tmp_path / "_SUCCESS", "")
    put(tmp_path / ".part.crc", "x")
    put(tmp_path / ".git" / "config", "x")
    put(tmp_path / "more" / "b.jsonl")
    os.symlink(tmp_path / "more", tmp_path / "link")
    assert ids(tmp_path) == ["a.jsonl:0"]
    assert left_out(tmp_path) == {
        "JSON that is not records with text": ["broken.json"],
        "records without a column of text": ["dataset_info.json", "numbers.csv"],
        "not records": ["LICENSE", "image.png"],
        "empty (0 bytes)": ["empty.jsonl", "empty.txt"],
        "written by Spark for itself": ["_SUCCESS"],
        "hidden": [".git/", ".part.crc"],
        f"in subfolders (to read them too: '{tmp_path}/**/*')": ["more/b.jsonl"],
        "links to folders": ["link/"],
    }


def test_files_in_a_folder_of_text_that_are_not_text_are_reported(tmp_path):
    put(tmp_path / "a.py", "x = 1\n")
    put(tmp_path / "b" / "image.bin", b"\0")
    put(tmp_path / "pointer.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    put(tmp_path / ".hidden", "x")
    assert ids(tmp_path) == ["a.py"]
    assert left_out(tmp_path) == {
        "binary": ["b/image.bin"],
        "Git LFS pointers, not the data (git lfs pull)": ["pointer.txt"],
        "hidden": [".hidden"],
    }


def test_a_program_with_some_data_is_text_and_a_folder_of_data_is_records(tmp_path):
    put(tmp_path / "code" / "a.py", "x = 1\n" * 50)
    put(tmp_path / "code" / "b.csv", "text\nx\n")
    put(tmp_path / "code" / "settings.json", '{"a": 1}')
    assert ids(tmp_path / "code") == ["a.py", "b.csv", "settings.json"]
    put(tmp_path / "data" / "a.csv", "text\nx\n")
    put(tmp_path / "data" / "b.csv", "text\ny\n")
    put(tmp_path / "data" / "README.md", "A\n")
    assert texts(tmp_path / "data") == ["x", "y"]
    put(tmp_path / "spark" / "part-00000")
    put(tmp_path / "spark" / "part-00001")
    put(tmp_path / "spark" / "_SUCCESS", "")
    assert ids(tmp_path / "spark") == ["part-00000:0", "part-00001:0"]
    assert is_text(str(put(tmp_path / "c.txt", '{"a brace"\n')))
    assert is_text(str(put(tmp_path / "d.txt", '{"no": "column of text"}\n')))
    assert not is_text(str(put(tmp_path / "e.txt", '{"text": "x"}\n')))


@pytest.mark.parametrize(
    "source", ["spark", "spark/*", "spark/*.parquet", "spark/2020.parquet", "spark/2020.parquet/*"]
)
def test_folders_of_spark_that_are_called_like_files(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    for year in (2020, 2021):
        put_parquet(tmp_path / "spark" / f"{year}.parquet" / "lang=en" / "part-0.snappy.parquet")
        put(tmp_path / "spark" / f"{year}.parquet" / "_SUCCESS", "")
        put(tmp_path / "spark" / f"{year}.parquet" / "_temporary" / "0" / "part-9.parquet", "unfinished")
        put(tmp_path / "spark" / f"{year}.parquet" / ".part-0.crc", "x")
    names = ids(source)
    assert len(set(names)) == len(names) == (1 if "2020" in source else 2)
    assert all(name.endswith("lang=en/part-0.snappy.parquet:0") for name in names)


def test_a_glob_of_folders_says_how_to_name_what_is_in_them(tmp_path):
    put(tmp_path / "a1" / "x.jsonl")
    put(tmp_path / "a2" / "x.jsonl")
    with pytest.raises(CorpusError, match=r"a\*: matches only folders, such as .*a.*'.*/a\*/\*'"):
        read(tmp_path / "a*")
    put(tmp_path / "b.jsonl")
    assert list(left_out(tmp_path / "*")) == ["folders that the glob matches"]


def test_a_folder_of_little_else_than_records_in_subfolders_says_how_to_name_them(tmp_path):
    for dump in ("CC-MAIN-1", "CC-MAIN-2"):
        put_parquet(tmp_path / "data" / dump / "000_00000.parquet")
    put(tmp_path / "README.md", "x")
    with pytest.raises(CorpusError, match=r"most of it is records in its subfolders.*'(.*/\*\*/\*\.parquet)'") as error:
        read(tmp_path)
    named = str(error.value).rpartition(" '")[2].removesuffix("'.")
    assert ids(named) == ["data/CC-MAIN-1/000_00000.parquet:0", "data/CC-MAIN-2/000_00000.parquet:0"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["train-00000-of-00001", "test-00000-of-00001", "validation-00000-of-00001"],
            "test (1), train (1), validation",
        ),
        (["en_train", "en_dev"], "train (1), validation (1)"),
        (["train", "eval"], "test (1), train (1)"),
        (["training", "latest", "contest", "detrain"], None),
        (["train", "train2"], None),
    ],
)
def test_several_splits_in_one_folder_are_pointed_out(tmp_path, names, expected):
    for name in names:
        put(tmp_path / f"{name}.jsonl")
    documents, _, warnings = read(tmp_path)
    assert len(documents) == len(names)
    if expected is None:
        assert warnings == []
    else:
        assert f"all of its splits are read: {expected}" in warnings[0]
        pattern = warnings[0].rpartition("e.g. '")[2].removesuffix("'.")
        assert [name.partition(".")[0] for name in ids(pattern)] == [name for name in names if "train" in name]


def test_records_by_content_in_subfolders_say_how_to_name_them(tmp_path):
    for i in range(6):
        put(tmp_path / f"d{i % 3}" / f"{i}.json", f'{{"text": "{i}"}}')
    with pytest.raises(CorpusError, match=r"most of it is records in its subfolders.*/\*\*/\*\.json'"):
        read(tmp_path)
    assert texts(tmp_path / "**" / "*.json") == ["0", "3", "1", "4", "2", "5"]
    for i in range(20):
        put(tmp_path / f"{i}.md", "Text.\n" * 100)
    assert len(ids(tmp_path)) == 26


def test_records_in_a_folder_of_text_are_pointed_out(tmp_path):
    put(tmp_path / "a.txt", '{"text": "a"}\n')
    put(tmp_path / "b.txt", "Text.\n" * 100)
    documents, _, warnings = read(tmp_path)
    assert [document.id for document in documents] == ["a.txt", "b.txt"]
    assert "is read as text, one document per file, though some are records: a.txt" in warnings[0]


def test_a_folder_of_records_without_text_says_so(tmp_path):
    put(tmp_path / "a.csv", "a,b\n1,2\n")
    with pytest.raises(CorpusError, match=r"its records have no column of text.*a\.csv.*--text-column"):
        read(tmp_path)
    assert texts(tmp_path, text_column="b") == ["2"]


def test_splits_that_are_folders(tmp_path):
    for name in ("train", "test"):
        put(tmp_path / name / "a.jsonl")
    assert "test (1), train (1)" in read(tmp_path / "*" / "*.jsonl")[2][0]


def test_an_annotated_dataset_inside_a_corpus_is_not_of_it(tmp_path):
    put(tmp_path / "a.jsonl")
    annotate([str(tmp_path)], {"class_name": "PEP8Scorer"}, None, tmp_path / "annotated")
    assert ids(tmp_path) == ["a.jsonl:0"]
    assert left_out(tmp_path) == {"in an annotated dataset of its own": ["annotated/"]}
    listing = list_source(str(tmp_path / "annotated"))
    assert [file.name for file in listing.files] == ["shard-00000-000000.parquet"]
    assert listing.notes.left_out == {}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a.jsonl.gz", "a.txt"])
def test_a_pointer_of_git_lfs_is_not_the_data(tmp_path, name):
    path = put(tmp_path / name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 146946961\n")
    with pytest.raises(CorpusError, match=r"is a Git LFS pointer, not the data\. Get it with: git lfs pull"):
        read(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<title>404</title>\n", "is an HTML page, perhaps of a failed download"),
        (b"<HTML>\n", "is an HTML page"),
        (b"PK\x03\x04\x14\0", "is a ZIP archive; extract the files in it"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "is a 7z archive"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"a.jsonl".ljust(257, b"\0") + b"ustar\0" + b"00".ljust(249, b"\0"), "is a tar archive"),
        (b"a.jsonl".ljust(257, b"\0") + b"ustar  \0".ljust(255, b"\0"), "is a tar archive"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a.jsonl.gz"])
def test_a_file_of_records_that_is_something_else_is_named_once(tmp_path, name, content, what):
    path = put(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(CorpusError, match=f"{re.escape(str(path))}: {re.escape(what)}"):
        read(path)


def test_text_that_looks_like_the_start_of_an_archive_is_read(tmp_path):
    row = '{"text": "' + "x" * 246 + 'mustard PK"}\n'
    assert row[257:262] == "ustar"
    assert texts(put(tmp_path / "a.jsonl", row)) == ["x" * 246 + "mustard PK"]
