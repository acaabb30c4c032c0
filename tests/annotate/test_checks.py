"""What a job says of its corpus: rows that it skipped, files that it left out, ids that are there twice."""

import gzip
import json
import os
import pickle

import pytest
from tests.corpus.corpora import put, put_parquet
from typer.testing import CliRunner

from phf.annotate import shard_writer
from phf.annotate.checks import notices
from phf.annotate.runner import annotate
from phf.cli.app import app
from phf.corpus.dataset import read_annotated
from phf.corpus.formats.row_policy import MAX_LISTED, BadRowError, ReadOptions
from phf.corpus.manifest import read_manifest
from phf.errors import CorpusError, OutputError

SCORER = {"class_name": "PEP8Scorer"}


def run(folder, output, **options):
    return annotate([str(folder)], SCORER, None, output, **options)


@pytest.fixture
def bad_corpus(tmp_path):
    """Nine documents, and one of each kind of badness."""
    folder = tmp_path / "corpus"
    put(folder / "a.jsonl", '{"text": "x"}\n{"text": null}\n{broken\n[1]\n{"text": 3}\n{"other": 1}\n{"text": "y"}\n')
    put(folder / "b.jsonl", b'{"text": "\xff"}\n{"text": "x"}\n')
    put(folder / "c.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 3)[:-6])
    put(folder / "d.jsonl.gz", b"")
    put(folder / "e.parquet", "junk")
    put_parquet(folder / "f.parquet", text=["x", None, "y"])
    put(folder / "g.csv", "id,text\n1\n2,x\n")
    put(folder / "h.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    return folder


def test_the_advice_to_skip_follows_a_question_too(tmp_path):
    path = put(tmp_path / "a.jsonl", '{"text": "x"}\n{"te')
    with pytest.raises(CorpusError, match=r"was its writer interrupted\? To leave out"):
        run(path, tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_rows_are_skipped_counted_and_listed(bad_corpus, tmp_path, workers):
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 2: its 'text' is None, not a string\. .*--on-error skip"):
        run(bad_corpus, tmp_path / "out", workers=workers)
    manifest = run(bad_corpus, tmp_path / "out", workers=workers, on_error="skip")  # continues in the same folder
    assert manifest.num_documents == len(list(read_annotated(str(tmp_path / "out")))) == 9
    rows = manifest.skipped["rows"]
    assert manifest.skipped["count"] == len(rows) == 12
    assert [row["where"].rpartition("/")[2] for row in rows] == [
        *(f"a.jsonl, line {line}" for line in range(2, 7)),
        "b.jsonl, line 1",
        "c.jsonl.gz, after line 3",
        "d.jsonl.gz",
        "e.parquet",
        "f.parquet, row 1",
        "g.csv, line 2",
        "h.parquet",
    ]
    assert all(row["reason"] for row in rows)
    assert read_manifest(tmp_path / "out") == manifest
    lines = notices(manifest)
    assert lines[0] == "Skipped: 12 unreadable rows or files (listed in manifest.json), such as:"
    assert len(lines) == 6


def test_a_long_list_of_bad_rows_is_counted_whole_and_listed_in_part(tmp_path):
    put(tmp_path / "a.jsonl", '{"text": "x"}\n' + '{"text": null}\n' * 1000)
    manifest = run(tmp_path / "a.jsonl", tmp_path / "out", on_error="skip")
    assert manifest.skipped["count"] == 1000
    assert len(manifest.skipped["rows"]) == MAX_LISTED
    listed = (tmp_path / "out" / "not-read.txt").read_text().splitlines()
    assert [line.partition("\t")[0].rpartition(" ")[2] for line in listed] == [str(line) for line in range(2, 1002)]
    assert all(line.endswith("\tits 'text' is None, not a string.") for line in listed)
    put(tmp_path / "b.jsonl", '{"text": null}\n' * 10)
    with pytest.raises(
        CorpusError, match=r"contains no documents.* All rows were skipped \(10\), such as .*line 1: its"
    ):
        run(tmp_path / "b.jsonl", tmp_path / "none", on_error="skip")


def test_what_is_written_beside_the_shards_does_not_grow_with_the_files_that_are_not_read(tmp_path):
    sizes = []
    for count in (150, 300):
        folder = tmp_path / str(count)
        put(folder / "corpus" / "a.jsonl", '{"text": "x"}\n')
        for i in range(count):
            put(folder / "corpus" / f"{i:03}.md", "Notes.\n")
        manifest = run(folder / "corpus", folder / "out")
        assert manifest.left_out["not records"]["count"] == count
        sizes.append((folder / "out" / "manifest.json").stat().st_size)
        assert len((folder / "out" / "not-read.txt").read_text().splitlines()) == count
        assert list(read_annotated(str(folder / "out")))  # the list is not taken for records
    assert sizes[0] == sizes[1]


def test_files_whose_names_are_not_utf8_are_listed_too(tmp_path):
    for name, content in ((b"\x80.jsonl", '{"text": null}\n{"text": "x"}\n'), (b"\x81.md", "Notes.\n")):
        put(tmp_path / "c" / os.fsdecode(name), content)
    manifest = run(tmp_path / "c", tmp_path / "o", on_error="skip")
    assert read_manifest(tmp_path / "o") == manifest
    assert manifest.skipped["rows"][0]["where"].endswith("\ufffd.jsonl, line 1")
    assert manifest.left_out["not records"]["files"] == ["\ufffd.md"]


def test_counts_are_whole_after_an_interruption(bad_corpus, tmp_path):
    def interrupt(progress):
        if progress.num_documents >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(bad_corpus, tmp_path / "out", on_error="skip", progress=interrupt)
    assert run(bad_corpus, tmp_path / "out", on_error="skip").skipped["count"] == 12


def test_a_bad_row_travels_between_processes():
    error = pickle.loads(pickle.dumps(BadRowError("a.jsonl, line 2", "is bad.")))  # noqa: S301
    assert (str(error), error.place, error.reason) == ("a.jsonl, line 2: is bad.", "a.jsonl, line 2", "is bad.")


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_missing_column_is_reported_before_anything_is_scored(tmp_path, on_error):
    put(tmp_path / "a.jsonl", '{"text": "x", "lang": "en"}\n' * 3)
    for options, message in (
        (ReadOptions("body"), r"no column 'body', which --text-column names; its columns are \['lang', 'text'\]"),
        (ReadOptions(keep=("language",)), r"no column 'language', which --keep names.*\['lang', 'text'\]"),
    ):
        with pytest.raises(CorpusError, match=message):
            run(tmp_path / "a.jsonl", tmp_path / "out", options=options, on_error=on_error)
        assert not (tmp_path / "out").exists()
    put(tmp_path / "a.py", "x = 1\n")
    with pytest.raises(CorpusError, match="Text files have no columns"):
        run(tmp_path / "a.py", tmp_path / "out", options=ReadOptions(keep=("lang",)))


def test_other_columns_are_another_job(tmp_path):
    put(tmp_path / "a.jsonl", '{"text": "x", "content": "y", "lang": "en"}\n{"text": "x", "content": "z"}\n')
    manifest = run(tmp_path / "a.jsonl", tmp_path / "out", options=ReadOptions("content", ("lang",)))
    assert manifest.reading == {"text_column": "content", "keep": ["lang"]}
    assert [(document.texts, document.meta) for document in read_annotated(str(tmp_path / "out"))] == [
        (["y"], {"lang": "en"}),
        (["z"], {}),
    ]
    with pytest.raises(OutputError, match=r"text_column|keep"):
        run(tmp_path / "a.jsonl", tmp_path / "out", options=ReadOptions("text", ("lang",)))


def test_documents_with_the_id_of_another_are_counted(tmp_path):
    put(
        tmp_path / "a.jsonl",
        '{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n{"text": "z"}\n{"id": "1", "text": ""}\n',
    )
    manifest = run(tmp_path / "a.jsonl", tmp_path / "out")
    assert manifest.num_duplicate_ids == 2
    assert "2 documents have the id of an earlier one" in notices(manifest)[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_ids_are_counted_once_however_often_the_job_was_interrupted(workers, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.annotate.pieces.PIECE_SIZE", 1)
    monkeypatch.setattr("phf.annotate.pieces.LEAST_PIECE_SIZE", 1)
    put(tmp_path / "a.jsonl", "".join(f'{{"id": {i % 6}, "text": "x = {i}"}}\n' for i in range(10)))

    def interrupt(progress):
        if progress.num_documents == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a.jsonl", tmp_path / "out", workers=workers, shard_bytes=20, progress=interrupt)
    if workers == 1:  # two may finish pieces in another order
        assert len(list((tmp_path / "out").glob("shard-*.parquet"))) == 1
    assert list((tmp_path / "out" / ".pieces").glob("*.json"))
    assert run(tmp_path / "a.jsonl", tmp_path / "out", workers=workers, shard_bytes=20).num_duplicate_ids == 4


def test_many_small_files_are_a_few_shards_and_a_change_of_one_leaves_the_others(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("phf.corpus.sources.parts.GROUP_FILES", 50)
    for i in range(300):
        put(tmp_path / "corpus" / f"{i:03d}.jsonl", json.dumps({"text": f"x = {i}\n"}) + "\n")
    run(tmp_path / "corpus", tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("*.parquet"))
    assert 3 <= len(shards) <= 20
    assert [document.texts for document in read_annotated(str(tmp_path / "out"))] == [
        [f"x = {i}\n"] for i in range(300)
    ]
    (tmp_path / "out" / "manifest.json").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in shards}
    put(tmp_path / "corpus" / "123.jsonl", '{"text": "changed"}\n')
    run(tmp_path / "corpus", tmp_path / "out")
    assert sum((tmp_path / "out" / name).stat().st_mtime_ns != then for name, then in before.items()) == 1
    assert [document.texts for document in read_annotated(str(tmp_path / "out"))][123] == ["changed"]


def test_a_shard_that_disappears_while_the_job_runs_leaves_the_dataset_unfinished(tmp_path, monkeypatch):
    for name in "ab":
        put(tmp_path / f"{name}.jsonl", '{"text": "x"}\n' * 800)
    real = shard_writer.write_counts

    def lose(output, shard):
        real(output, shard)
        if shard.name == "shard-00001-000000.parquet":
            (output / shard.name).unlink()

    monkeypatch.setattr(shard_writer, "write_counts", lose)
    with pytest.raises(
        OutputError, match=r"shard-00001-000000\.parquet was written, but has been removed or changed since"
    ):
        run(tmp_path / "*.jsonl", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    assert run(tmp_path / "*.jsonl", tmp_path / "out").num_documents == 1600


def test_the_command_says_it_all_once(tmp_path):
    put(tmp_path / "c" / "train.jsonl", '{"text": "x", "n": 1}\n{"text": null, "n": 2}\n')
    put(tmp_path / "c" / "test.jsonl", '{"text": "y", "n": 3}\n')
    put(tmp_path / "c" / "notes.md", "Notes.\n")
    arguments = ["annotate", str(tmp_path / "c"), "--scorer", "PEP8Scorer", "--output", str(tmp_path / "o")]
    result = CliRunner().invoke(app, [*arguments, "--workers", "1", "--on-error", "skip", "--keep", "n"])
    assert result.exit_code == 0, result.output
    for said in (
        "Not read: 1 file (not records): notes.md",
        "all of its splits are read",
        "Skipped: 1 unreadable row or file",
    ):
        assert result.output.count(said) == 1
    assert "train.jsonl, line 2: its 'text' is None" in result.output
    assert [document.meta for document in read_annotated(str(tmp_path / "o"))] == [{"n": 3}, {"n": 1}]
    assert CliRunner().invoke(app, [*arguments, "--on-error", "ignore"]).exit_code == 2
