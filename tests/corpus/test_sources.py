"""Sources: everything a corpus may be, and what is said when it is broken."""

import gzip
import json
import os
from pathlib import Path

import pytest

from phf.corpus.dataset import read_annotated, write_shard
from phf.corpus.sources import stdlib
from phf.corpus.sources.documents import AnnotatedDocument, fingerprint, is_annotated, read_documents
from phf.errors import CorpusError

ROWS = [{"text": "one\n"}, {"text": "two\n", "meta": {"from": "here"}}]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def texts(source):
    return [document.text for document in read_documents(str(source))]


def test_json_lines_plain_gz_zst_folder_and_glob(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    write_lines(tmp_path / "a.jsonl", ROWS)
    content = (tmp_path / "a.jsonl").read_bytes()
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(content))
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst"):
        assert texts(tmp_path / name) == ["one\n", "two\n"]
    assert len(texts(tmp_path)) == 6
    assert len(texts(tmp_path / "*.gz")) == 2


def test_folder_of_text_files_is_sorted_and_skips_binary_and_hidden_ones(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.py").write_bytes(b"x\r\n")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "image.bin").write_bytes(b"\0\1")
    (tmp_path / ".hidden").write_text("no")
    assert [(d.id, d.text) for d in read_documents(str(tmp_path))] == [("a.txt", "a"), ("b/x.py", "x\n")]


def test_saved_hugging_face_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([{"text": "one\n"}]).save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == ["one\n"]


def test_tests_and_packages_of_a_standard_library_are_neither_read_nor_looked_at(tmp_path, monkeypatch):
    for name in (
        "b.py",
        "a/c.py",
        "a/test/d.py",
        "site-packages/e.py",
        "lib/site-packages/p/f.py",
        "test.txt",
        "tests.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def f(x):\n    pass\n\n\n" if name == "b.py" else "x = 1\n")
    (tmp_path / "linked").symlink_to(tmp_path / "a", target_is_directory=True)
    looked_at = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked_at.append(Path(path).name) or scandir(path))
    monkeypatch.setattr(stdlib, "_root", lambda: tmp_path)
    assert [path for (path, _), _ in stdlib.read_files()] == ["a/c.py", "b.py", "tests.py"]
    assert sorted(looked_at) == sorted([tmp_path.name, "a", "lib"])
    assert stdlib.function_headers() == ["def f(x):\n"]


def test_python_stdlib_is_sorted_and_without_tests():
    ids = [document.id for document in read_documents("python-stdlib")]
    assert ids == sorted(ids)
    assert "dataclasses.py" in ids
    assert len(ids) > 400
    assert not any("test" in i.split("/")[:-1] for i in ids)


def test_annotated_round_trip_in_the_published_schema(tmp_path):
    document = AnnotatedDocument("d", ["a\n", "b\n"], [0.5, None], {"k": "v"})
    write_shard(tmp_path / "s.parquet", [document])
    assert list(read_annotated(str(tmp_path))) == [document]
    assert is_annotated(str(tmp_path))
    assert texts(tmp_path) == ["a\nb\n"]
    assert document.avg_score == 0.5


def test_published_rows_without_id_and_a_second_scorer(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", [{"texts": ["a"], "scores": [0.1], "pii_scores": [0.2]}])
    assert [(d.id, d.scores) for d in read_annotated(source)] == [("a.jsonl:0", [0.1])]
    assert [d.scores for d in read_annotated(source, "pii_scores")] == [[0.2]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"texts": ["a"]}, "a.jsonl, line 1: has no 'scores'"),
        ({"text": "a"}, "has no 'texts'; annotate the corpus first"),
        ({"texts": ["a", "b"], "scores": [0.1]}, "2 texts but 1 scores"),
        ({"texts": ["a"], "scores": [float("nan")]}, r"scores\[0\] is nan"),
        ({"texts": [1], "scores": [0.1]}, r"texts\[0\] is 1, not text"),
    ],
)
def test_broken_annotation_names_file_and_row(tmp_path, row, message):
    with pytest.raises(CorpusError, match=message):
        list(read_annotated(write_lines(tmp_path / "a.jsonl", [row])))


def test_truncated_json_line_names_the_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "tw')
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 2: is not valid JSON.*interrupted"):
        texts(tmp_path / "a.jsonl")


def test_invalid_utf8_names_file_and_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(CorpusError, match="line 1: is not UTF-8"):
        texts(tmp_path / "a.jsonl")
    (tmp_path / "a.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(CorpusError, match=r"a\.txt, line 2: is not UTF-8"):
        texts(tmp_path / "a.txt")


def test_damaged_gzip_and_missing_text_and_unknown_source(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n' * 100)[:-20])
    with pytest.raises(CorpusError, match="damaged or cut off"):
        texts(tmp_path / "a.jsonl.gz")
    with pytest.raises(CorpusError, match="has no 'text'"):
        texts(write_lines(tmp_path / "b.jsonl", [{"body": "x"}]))
    with pytest.raises(CorpusError, match="no file, folder or glob here"):
        texts("no/such/dataset")


def test_lone_surrogates_become_replacement_characters_in_raw_and_annotated_documents(tmp_path):
    hostile = r'"\ud800", "a\uDFFFb ", "\ud83d\ude00", "\\ud800"'  # two lone ones, a pair, and a backslash
    cleaned = ["\ufffd", "a\ufffdb ", "\U0001f600", "\\ud800"]
    source = tmp_path / "a.jsonl"
    source.write_text(
        f'{{"id": "\\udc00", "texts": [{hostile}], "scores": [0, 0, 0, 0], "meta": {{"k": [{hostile}]}}}}\n'
    )
    (annotated,) = read_annotated(str(source))
    assert annotated == AnnotatedDocument("\ufffd", cleaned, [0, 0, 0, 0], {"k": cleaned})
    (raw,) = read_documents(str(source))
    assert (raw.id, raw.text, raw.meta) == ("\ufffd", "".join(cleaned), {"k": cleaned})
    source.write_text(json.dumps({"text": "x", "meta": '{"k": "\\ud800"}'}) + "\n")
    assert [document.meta for document in read_documents(str(source))] == [{"k": "\ufffd"}]


def test_parquet_that_is_damaged_or_no_text_names_the_file(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    invalid = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": invalid}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"a\.parquet, row 0: its 'text' is not UTF-8 \('utf-8' codec"):
        texts(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(content[:4] + b"\0" * 20 + content[24:])
    with pytest.raises(CorpusError, match=r"b\.parquet: is not a readable Parquet file"):
        texts(tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match="nor 'texts' \\(list of strings\\)"):
        texts(write_lines(tmp_path / "c.jsonl", [{"texts": ["a", 1]}]))


def test_fingerprint_changes_with_the_files(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ROWS)
    before = fingerprint(source)
    assert before == fingerprint(source)
    write_lines(tmp_path / "a.jsonl", ROWS * 2)
    assert fingerprint(source) != before


PUBLISHED = [
    {
        "texts": ["a. ", "b."],
        "meta": {"pile_set_name": "Enron Emails"},
        "scores": [0.25, 0.5],
        "avg_score": 0.375,
        "num_sents": 2,
    },
    {"texts": ["c"], "meta": {"pile_set_name": "Github"}, "scores": [0.125], "avg_score": 0.125, "num_sents": 1},
]
"""Rows as the paper's datasets have them: `meta` is a struct, and there is no `id`."""


def check_published(source, name):
    assert is_annotated(str(source))
    documents = list(read_annotated(str(source)))
    assert [document.id for document in documents] == [f"{name}:0", f"{name}:1"]
    assert [document.texts for document in documents] == [["a. ", "b."], ["c"]]
    assert [document.scores for document in documents] == [[0.25, 0.5], [0.125]]
    assert [document.avg_score for document in documents] == [0.375, 0.125]
    assert [document.meta for document in documents] == [{"pile_set_name": "Enron Emails"}, {"pile_set_name": "Github"}]
    assert texts(source) == ["a. b.", "c"]


def test_the_papers_schema_in_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(PUBLISHED), tmp_path / "train.parquet")
    check_published(tmp_path, "train.parquet")


def test_the_papers_schema_as_a_saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(PUBLISHED).save_to_disk(str(tmp_path / "saved"))
    check_published(tmp_path / "saved", "saved")


def test_json_that_python_cannot_hold_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "a.jsonl"
    for value in ("1" * 5000, "[" * 100_000 + "]" * 100_000):
        path.write_text(f'{{"text": "a"}}\n{{"text": "b", "n": {value}}}\n')
        with pytest.raises(
            CorpusError, match=r"a\.jsonl, line 2: (contains a number that cannot|is nested more than 100 deep)"
        ):
            texts(path)


@pytest.mark.parametrize("score", ["1e39", "-1e39", "1" + "0" * 400, "NaN"])
def test_a_score_that_float32_cannot_hold_is_an_error(tmp_path, score):
    (tmp_path / "a.jsonl").write_text(f'{{"texts": ["a"], "scores": [{score}]}}\n')
    with pytest.raises(CorpusError, match=r"line 1: scores\[0\] is .{1,50}\. A score is a finite number"):
        list(read_annotated(str(tmp_path)))


def test_raw_text_is_reported_as_not_annotated(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    for source in (tmp_path, tmp_path / "a.py", "python-stdlib"):
        with pytest.raises(CorpusError, match="is raw text, without scores; annotate the corpus first"):
            next(read_annotated(str(source)))


def test_a_saved_dataset_without_train_names_its_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"texts": ["a"], "scores": [0.5]}])
    datasets.DatasetDict(validation=rows).save_to_disk(tmp_path / "saved")
    with pytest.raises(CorpusError, match=r"^[^ ]*saved: has the splits validation, but no train"):
        next(read_annotated(str(tmp_path / "saved")))
    assert next(read_annotated(str(tmp_path / "saved" / "validation"))).scores == [0.5]


def test_every_suffix_of_json_lines(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    write_lines(tmp_path / "a.json", ROWS)
    content = (tmp_path / "a.json").read_bytes()
    for kind in ("json", "jsonl", "ndjson"):
        (tmp_path / f"a.{kind}").write_bytes(content)
        (tmp_path / f"a.{kind}.gz").write_bytes(gzip.compress(content))
        (tmp_path / f"a.{kind}.zst").write_bytes(zstandard.compress(content))
    for path in tmp_path.iterdir():
        assert texts(path) == ["one\n", "two\n"]
    assert len(texts(tmp_path / "*.json")) == 2
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "a.json").write_text("[\n]\n")
    assert texts(tmp_path / "settings") == ["[\n]\n"]  # in a folder it may be anything


def test_zst_of_several_frames_is_complete_and_a_truncated_frame_is_an_error(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    content = b'{"text": "one"}\n' * 100_000
    frame = zstandard.compress(content)
    (tmp_path / "a.jsonl.zst").write_bytes(frame + zstandard.compress(b'{"text": "two"}\n'))
    assert texts(tmp_path / "a.jsonl.zst") == ["one"] * 100_000 + ["two"]
    for damaged in (frame[:20], frame[:-1], frame + frame[:5], b"no frame at all"):
        (tmp_path / "b.jsonl.zst").write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"b\.jsonl\.zst, after line .*damaged or cut off"):
            texts(tmp_path / "b.jsonl.zst")


def test_byte_order_marks_are_not_part_of_the_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n{"text": "two"}\r\n')
    assert texts(tmp_path / "a.jsonl") == ["one", "two"]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n")
    assert texts(tmp_path / "a.txt") == ["one\n"]


def test_a_glob_of_text_is_named_from_where_the_pattern_begins(tmp_path):
    for name in ("a/x.txt", "b/x.txt", "b/y.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    documents = [(d.id, d.text) for d in read_documents(str(tmp_path / "*" / "*.txt"))]
    assert documents == [("a/x.txt", "a/x.txt"), ("b/x.txt", "b/x.txt")]
    before = fingerprint(str(tmp_path / "*" / "*.txt"))
    (tmp_path / "b" / "z.txt").write_text("new")
    assert fingerprint(str(tmp_path / "*" / "*.txt")) != before


def test_text_that_is_not_read_is_reported(tmp_path):
    (tmp_path / "a.txt").write_text("text", encoding="utf-16")
    with pytest.raises(CorpusError, match=r"a\.txt, line 1: is not UTF-8"):
        texts(tmp_path)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"text"))
    with pytest.raises(CorpusError, match=r"a\.txt\.gz: is binary"):
        texts(tmp_path / "a.txt.gz")


def test_a_folder_whose_records_are_in_subfolders_is_not_read_as_text(tmp_path):
    (tmp_path / "README.md").write_text("A corpus.\n")
    (tmp_path / "train").mkdir()
    write_lines(tmp_path / "train" / "a.jsonl", ROWS)
    with pytest.raises(CorpusError, match=r"most of it is records.*a glob like '.*/\*\*/\*\.jsonl'"):
        texts(tmp_path)
    assert texts(tmp_path / "**" / "*.jsonl") == ["one\n", "two\n"]
    (tmp_path / "code.py").write_text("x = 1\n" * 100)  # a program with an example of its data
    assert len(texts(tmp_path)) == 3


def test_file_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"\x80.jsonl")
    (tmp_path / "records").mkdir()
    source = write_lines(tmp_path / "records" / name, ROWS)
    assert [document.id for document in read_documents(source)] == ["\ufffd.jsonl:0", "\ufffd.jsonl:1"]
    (tmp_path / os.fsdecode(b"\x80.txt")).write_text("text" * 100)
    assert [document.id for document in read_documents(str(tmp_path))][-1] == "\ufffd.txt"
    assert fingerprint(str(tmp_path)) != fingerprint(source)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("{}")

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "open", refuse)
    monkeypatch.setattr(type(tmp_path), "read_bytes", refuse)
    with pytest.raises(CorpusError, match=f"{name} cannot be read: Permission denied"):
        texts(tmp_path / name)


def test_meta_of_any_type_is_kept_and_a_text_of_another_type_is_shown(tmp_path):
    metas = ["plain", "5", [1], 7, None, {"k": 1}]
    source = write_lines(tmp_path / "a.jsonl", [{"text": "", "meta": meta} for meta in metas])
    assert [document.meta for document in read_documents(source)] == [
        {"meta": "plain"},
        {"meta": 5},
        {"meta": [1]},
        {"meta": 7},
        {},
        {"k": 1},
    ]
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 2: its 'text' is None, not a string"):
        texts(write_lines(tmp_path / "a.jsonl", [{"text": "a"}, {"text": None}]))
