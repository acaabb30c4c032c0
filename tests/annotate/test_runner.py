"""Annotation: whole shards or none, the same bytes whatever happened on the way."""

import os
import signal
import subprocess
import sys
import time

import pytest

from phf.annotate import runner
from phf.annotate.runner import annotate
from phf.data import files
from phf.data.dataset import read_annotated, read_manifest
from phf.errors import CorpusError, OutputError

SCORER = {"class_name": "PEP8Scorer"}


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i:02d}.py").write_text(f"x{i}={i}\n" * 200 + f"y = {i}\n" * 200)
    (folder / "empty.py").write_text("")
    return str(folder)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_dataset_and_manifest(corpus, tmp_path):
    manifest = annotate([corpus], SCORER, None, tmp_path / "out")
    documents = list(read_annotated(str(tmp_path / "out")))
    assert [document.id for document in documents[:2]] == ["00.py", "01.py"]
    assert documents[0].scores[0] == pytest.approx(1 / 5)  # E225 in "x0=0\n"
    assert documents[0].scores[-1] == 0.0
    assert documents[-1].texts == []  # the empty document is kept, with nothing in it
    assert (manifest.num_documents, manifest.num_segments, manifest.num_unscored) == (41, 40 * 400, 0)
    assert manifest.segmenter == "lines"
    assert read_manifest(tmp_path / "out") == manifest


def test_workers_and_interruption_do_not_change_a_byte(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SHARD_DOCUMENTS", 10)
    annotate([corpus], SCORER, None, tmp_path / "one")
    annotate([corpus], SCORER, None, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")

    def interrupt(documents, chars):
        if documents >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate([corpus], SCORER, None, tmp_path / "three", progress=interrupt)
    assert read_manifest(tmp_path / "three") is None
    kept = content(tmp_path / "three")
    assert 2 <= sum(name.endswith(".parquet") for name in kept) < 5
    annotate([corpus], SCORER, None, tmp_path / "three")
    assert content(tmp_path / "three") == content(tmp_path / "one")


def test_finished_shards_are_not_scored_again(corpus, tmp_path, monkeypatch):
    annotate([corpus], SCORER, None, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    monkeypatch.setattr(runner, "annotate_document", None)  # scoring would raise
    assert annotate([corpus], SCORER, None, tmp_path / "out").num_documents == 41


@pytest.mark.slow
def test_kill_9_leaves_nothing_half_written(corpus, tmp_path):
    out = tmp_path / "out"
    code = (
        "from phf.annotate import runner; from pathlib import Path; runner.SHARD_DOCUMENTS = 4\n"
        f"runner.annotate([{corpus!r}], {SCORER!r}, None, Path({str(out)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(out.glob("shard-00002.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run([sys.executable, "-c", code.replace(str(out), str(tmp_path / "whole"))], check=True)
    whole = {name: data for name, data in content(out).items() if not name.endswith(".partial")}
    assert whole == content(tmp_path / "whole")


def test_another_job_on_the_folder_is_refused(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    with pytest.raises(OutputError, match="its segmenter is 'lines', this one's is 'document'"):
        annotate([corpus], SCORER, "document", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(OutputError, match="was not made by phf annotate"):
        annotate([corpus], SCORER, None, tmp_path / "mine")


def test_empty_corpus_says_so(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(CorpusError, match="holds no documents"):
        annotate([str(tmp_path / "a.jsonl")], SCORER, None, tmp_path / "out")


def test_full_disk_loses_no_finished_shard(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SHARD_DOCUMENTS", 10)
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:  # job.json, first shard, its counts, second shard
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OutputError, match="No space left on device"):
        annotate([corpus], SCORER, None, tmp_path / "out")
    assert sorted(content(tmp_path / "out")) == ["job.json", "shard-00000.parquet", "shard-00000.parquet.json"]


def test_output_that_cannot_be_a_folder_says_so(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        annotate([corpus], SCORER, None, tmp_path / "file" / "out")
