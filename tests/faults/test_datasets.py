"""One flipped bit in a dataset or a token store is named: it is never read as another text, score or token."""

import json
import shutil
import time

import pytest
from tests.faults.counts import num_cases
from tests.faults.damage import append, become_folder, cut, empty, flip_bit, places, remove, zero_half
from tests.tiny import tiny_tokenizer

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.corpus.manifest import read_manifest
from phf.errors import CorpusError
from phf.storage import content
from phf.tokens.building import build_store
from phf.tokens.pieces import Corpus
from phf.tokens.store import open_store
from phf.tokens.text_tokenizer import TextTokenizer

SCORER = {"class_name": "PEP8Scorer"}
EACH = (remove, empty, cut, zero_half, append, become_folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset of three shards."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "corpus").mkdir()
    for part in range(3):
        rows = [json.dumps({"text": f"x{i} = {i}\n\n\ndef f{i}( a):\n    return a+{i}\n"}) for i in range(100)]
        (folder / "corpus" / f"{part}.jsonl").write_text("\n".join(rows) + "\n")
    annotate([str(folder / "corpus")], SCORER, None, folder / "whole")
    return folder / "whole"


def read(folder):
    read_manifest(folder)
    return list(read_annotated(str(folder)))


def files_of(folder):
    return [*sorted(folder.glob("*.parquet")), folder / "manifest.json"]


def is_same_json(path, other):
    """Whether two files hold the same value: a bit that makes another kind of white space changes nothing."""
    try:
        return path.suffix == ".json" and json.loads(path.read_bytes()) == json.loads(other.read_bytes())
    except ValueError:
        return False


def test_a_flipped_bit_of_a_dataset_is_named(whole, tmp_path, counts):
    read(whole)
    files = files_of(whole)
    assert len(files) == 4
    each = num_cases(400, 200) // len(files)
    tried = 0
    for file in files:
        for place in places(file, each):
            folder = tmp_path / f"{file.stem}-{place}"
            shutil.copytree(whole, folder)
            flip_bit(folder / file.name, place)
            if not is_same_json(folder / file.name, file):
                with pytest.raises(CorpusError, match=file.name):
                    read(folder)
            tried += 1
            shutil.rmtree(folder)
    counts["a bit flipped in a shard or the manifest of a dataset, which is then read"] = (
        tried,
        "0 silent, 0 tracebacks",
    )


@pytest.mark.parametrize("damage", EACH)
def test_other_damage_to_a_shard_is_named(damage, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "it")
    shard = files_of(tmp_path / "it")[1]
    damage(shard)
    with pytest.raises(CorpusError, match=shard.name):
        read(tmp_path / "it")


def test_a_shard_is_read_for_its_hash_once_unless_it_changes(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "it")
    monkeypatch.setattr(content, "SETTLED_NS", 0)
    hashed = []
    sha256 = content.file_sha256
    monkeypatch.setattr(content, "file_sha256", lambda path: hashed.append(path.name) or sha256(path))
    read(tmp_path / "it")
    read(tmp_path / "it")
    shards = files_of(tmp_path / "it")[:-1]
    assert sorted(hashed) == [shard.name for shard in shards]
    time.sleep(0.02)  # a tick of the clock of the file system
    flip_bit(shards[0])
    with pytest.raises(CorpusError, match="is damaged: it has the size, but not the content"):
        read(tmp_path / "it")


def test_a_damaged_shard_is_made_again_by_the_same_command(whole, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "it")
    flip_bit(files_of(tmp_path / "it")[1])
    annotate([str(whole.parent / "corpus")], SCORER, None, tmp_path / "it")
    assert "missing or damaged, and rebuilt: shard-00001-000000.parquet." in caplog.text
    assert [f.read_bytes() for f in files_of(tmp_path / "it")] == [f.read_bytes() for f in files_of(whole)]


def test_datasets_without_hashes_are_read(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "it")
    path = tmp_path / "it" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    for shard in manifest["shards"]:
        del shard["num_bytes"]
    path.write_text(json.dumps(manifest))
    assert read(tmp_path / "it") == read(whole)


def test_a_shard_read_alone_or_by_a_glob_is_compared_with_the_manifest_next_to_it(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "it")
    shard = files_of(tmp_path / "it")[0]
    flip_bit(shard)
    for source in (shard, tmp_path / "it" / "*.parquet"):
        with pytest.raises(CorpusError, match=f"{shard.name} is damaged"):
            list(read_annotated(str(source)))


def test_a_flipped_bit_of_a_token_store_is_named_and_the_store_rebuilt(whole, tmp_path, counts, caplog):
    tokenizer = tiny_tokenizer()
    corpus = Corpus((str(whole),), "scores", TextTokenizer.of(tokenizer), "segments")
    store = build_store(corpus, tmp_path / "stores")
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    each = num_cases(420, 210) // len(before)
    tried = 0
    for name in sorted(before):
        for place in places(store.folder / name, each):
            folder = tmp_path / f"{name}-{place}"
            shutil.copytree(store.folder, folder)
            flip_bit(folder / name, place)
            opened = open_store(folder)
            is_used = opened is not None and opened.has_scores("scores")
            assert not is_used or is_same_json(folder / name, store.folder / name), (name, place)
            tried += 1
            shutil.rmtree(folder)
    counts["a bit flipped in a file of a token store, which is then opened"] = (tried, "0 silent, 0 tracebacks")
    flip_bit(store.folder / "ids.bin")
    assert build_store(corpus, tmp_path / "stores").folder == store.folder
    assert "is rebuilt: ids.bin does not have the content that was written" in caplog.text
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
    flip_bit(store.folder / "scores-scores.bin")
    build_store(corpus, tmp_path / "stores")
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
