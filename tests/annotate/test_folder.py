"""Folders that an older version wrote: finished ones are the same dataset, unfinished ones are refused with a reason."""

import json

import pytest

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.errors import ConfigError, OutputError

SCORER = {"class_name": "PEP8Scorer"}


@pytest.fixture
def older(tmp_path):
    """A dataset with the job and the counts that the version before wrote."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"x={i}\n"}) + "\n" for i in range(9)))
    out = tmp_path / "out"
    annotate([str(tmp_path / "a.jsonl")], SCORER, None, out)
    job = json.loads((out / "job.json").read_text())
    (out / "job.json").write_text(json.dumps({**job, "shard": [1000, 1_000_000, 4, 125_000]}))
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["shard_bytes"], manifest["sha256"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    shard = manifest["shards"][0]
    counts = {"name": shard["name"], "num_documents": 9, "num_chars": 36, "num_segments": 9, "num_unscored": 0}
    counts |= {"reasons": {}, "documents_sha256": "0" * 64, "sha256": shard["sha256"], "precision": ""}
    (out / f"{shard['name']}.json").write_text(json.dumps(counts))
    return out


def test_a_finished_dataset_of_an_older_version_is_that_dataset(older, tmp_path):
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    manifest = annotate([str(tmp_path / "a.jsonl")], SCORER, None, older)
    assert (manifest.num_documents, manifest.shard_bytes) == (9, 0)
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before
    assert len(list(read_annotated(str(older)))) == 9


def test_an_unfinished_one_is_refused_with_the_reason(older, tmp_path):
    (older / "manifest.json").unlink()
    with pytest.raises(
        OutputError, match=r"unfinished annotation by an older version.* Finish it with that version, choose"
    ):
        annotate([str(tmp_path / "a.jsonl")], SCORER, None, older)


def test_another_shard_size_is_another_dataset(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    annotate([str(tmp_path / "a.jsonl")], SCORER, None, tmp_path / "out", shard_bytes=1000)
    with pytest.raises(OutputError, match=r"shard\.text_bytes: 1000 -> 2000"):
        annotate([str(tmp_path / "a.jsonl")], SCORER, None, tmp_path / "out", shard_bytes=2000)
    with pytest.raises(ConfigError, match="A shard of 0 bytes"):
        annotate([str(tmp_path / "a.jsonl")], SCORER, None, tmp_path / "none", shard_bytes=0)
