"""A dataset is what its manifest lists, or it is not read by anything."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.corpus.corpora import put

from phf.annotate.hub import dataset_card
from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.corpus.shards import MANIFEST
from phf.corpus.sources.documents import fingerprint, is_annotated, read_documents, read_records
from phf.errors import CorpusError
from phf.profile.measure import profile_dataset
from phf.tokens.pieces import read_sources

READERS = {
    "annotated": lambda folder: list(read_annotated(folder)),
    "training": lambda folder: list(read_sources([folder], "scores")),
    "raw": lambda folder: list(read_documents(folder)),
    "records": lambda folder: list(read_records(folder)),
    "is annotated": is_annotated,
    "profile": profile_dataset,
    "fingerprint": fingerprint,
    "again": lambda folder: annotate([folder], {"class_name": "PEP8Scorer"}, None, Path(f"{folder}-again")),
    "card": lambda folder: dataset_card(Path(folder), "me/it"),
}
SHARD = "shard-00001-000000.parquet"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for name in "abc":
        put(folder / f"{name}.jsonl", "".join(json.dumps({"text": f"x = {i}\n"}) + "\n" for i in range(800)))
    annotate([str(folder / "*.jsonl")], {"class_name": "PEP8Scorer"}, None, folder / "whole")
    return folder / "whole"


def manifest_without_sizes(folder):
    """As it was written before sizes were noted."""
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["sha256"]
    for shard in manifest["shards"]:
        del shard["num_bytes"]
    (folder / MANIFEST).write_text(json.dumps(manifest))


def lose(folder):
    (folder / SHARD).unlink()


def cut(folder):
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(content[:-1])


def empty(folder):
    (folder / SHARD).write_bytes(b"")


def swap(folder):
    pq.write_table(pq.read_table(folder / SHARD).slice(0, 10), folder / SHARD)


def swap_unnoticed_by_size(folder):
    swap(folder)
    manifest_without_sizes(folder)


def leave_pointer(folder):
    (folder / SHARD).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")


def add(folder):
    shutil.copy(folder / SHARD, folder / "shard-00009-000000.parquet")


def add_other_records(folder):
    put(folder / "more.jsonl")


def manifest_becomes_a_fifo(folder):
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)


def manifest_becomes_a_folder(folder):
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()


def manifest_becomes_a_broken_link(folder):
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).symlink_to("nowhere.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose, f"{SHARD} is missing, which manifest.json lists"),
        (cut, f"{SHARD} has .* bytes, but .* according to manifest.json"),
        (empty, f"{SHARD} has 0 bytes, but .* according to manifest.json"),
        (swap, f"{SHARD} has .* bytes, but .* according to manifest.json"),
        (swap_unnoticed_by_size, f"{SHARD} has 10 rows, but the manifest next to it says 800"),
        (leave_pointer, f"{SHARD}: is a Git LFS pointer"),
        (add, "holds 1 file of records that manifest.json does not list, such as shard-00009-000000.parquet"),
        (add_other_records, "does not list, such as more.jsonl"),
        (manifest_becomes_a_fifo, "manifest.json is not a regular file"),
        (manifest_becomes_a_folder, "manifest.json is not a regular file"),
        (manifest_becomes_a_broken_link, "manifest.json is not a regular file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_reader_takes_a_part_for_the_whole(whole, tmp_path, damage, message):
    folder = shutil.copytree(whole, tmp_path / "dataset")
    damage(folder)
    for name, read in READERS.items():
        with pytest.raises(CorpusError, match=f"{message}|is missing or does not match manifest.json"):
            pytest.fail(f"{name} reads it: {read(str(folder))}")


@pytest.mark.parametrize("damage", [lose, cut, swap_unnoticed_by_size])
def test_neither_does_a_glob_of_shards_and_a_single_one_is_what_was_asked_for(whole, tmp_path, damage):
    folder = shutil.copytree(whole, tmp_path / "dataset")
    damage(folder)
    with pytest.raises(CorpusError, match=r"manifest"):
        list(read_annotated(str(folder / "*.parquet")))
    assert len(list(read_annotated(str(folder / "shard-00000-000000.parquet")))) == 800


@pytest.mark.parametrize("damage", [lose, cut, add, None], ids=lambda value: getattr(value, "__name__", "whole"))
def test_the_same_at_a_url(whole, tmp_path, damage):
    folder = shutil.copytree(whole, tmp_path / "dataset")
    url = f"file://{folder}"
    if damage is None:
        assert [document.texts for document in read_annotated(url)] == [
            [f"x = {i}\n"] for _ in range(3) for i in range(800)
        ]
        (folder / MANIFEST).unlink()
        with pytest.raises(CorpusError, match="its annotation is unfinished"):
            list(read_annotated(url))
        return
    damage(folder)
    with pytest.raises(CorpusError, match=r"manifest\.json"):
        list(read_annotated(url))


def test_whole_ones_are_read_with_and_without_sizes_and_what_lies_beside(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "dataset")
    put(folder / "README.md", "A card.")
    put(folder / "profile.json", "{}")
    assert len(list(read_annotated(str(folder)))) == 2400
    manifest_without_sizes(folder)
    assert len(list(read_annotated(str(folder)))) == 2400
    (folder / MANIFEST).unlink()
    (folder / "job.json").unlink()
    assert len(list(read_annotated(str(folder)))) == 2400  # as a dataset that others published


def test_a_manifest_of_another_program_is_not_taken_for_ours(tmp_path):
    put(tmp_path / "a.jsonl", '{"texts": ["a"], "scores": [0]}\n')
    put(tmp_path / MANIFEST, '{"files": ["b.jsonl"]}')
    assert len(list(read_annotated(str(tmp_path)))) == 1


@pytest.mark.parametrize(
    "shards", ['"all"', "[1]", '[{"name": "../x.parquet"}]', '[{"name": "a.parquet", "num_bytes": "1"}]']
)
def test_a_manifest_that_lists_no_shards_is_refused(tmp_path, shards):
    put(tmp_path / "a.parquet", "")
    put(tmp_path / MANIFEST, f'{{"phf_version": "1", "shards": {shards}}}')
    with pytest.raises(CorpusError, match="its 'shards' are not a list of names with their counts"):
        list(read_annotated(str(tmp_path)))
