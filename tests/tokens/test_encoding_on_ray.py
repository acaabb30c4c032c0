"""A store built on a Ray cluster: the bytes of one that is built here, also when actors die."""

import builtins
import json
import os

import psutil
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import corpus_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError, MissingExtraError
from phf.tokens.building import build_store
from phf.workers.ray_cluster import ray_cluster


@pytest.fixture
def source(tmp_path):
    """A folder of four files."""
    for shard in range(4):
        documents = [
            AnnotatedDocument(f"{shard}-{i}", [f"a = {i}\n", f"b = {shard}\n"], [0.0, None]) for i in range(20)
        ]
        write_shard(tmp_path / "data" / f"shard-{shard:05d}.parquet", documents)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def ray():
    """A cluster of this machine, started as it is where no address is given, and used by all tests."""
    ray = pytest.importorskip("ray", reason="install the extra: pip install 'phf[ray]'")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 otherwise: they starve where other tests run beside them
    with ray_cluster(None, "these tests", "no setting"):
        yield ray
    assert not ray.is_initialized()


def content(store):
    return {path.name: path.read_bytes() for path in sorted(store.folder.iterdir())}


def test_a_cluster_that_is_not_there_is_reported_with_the_key_to_change(source, tmp_path):
    pytest.importorskip("ray")
    corpus = corpus_for(tiny_tokenizer(), source)
    with pytest.raises(ConfigError, match=r"There is no Ray cluster at '127.0.0.1:1' \(dataset.ray_address\)"):
        build_store(corpus, tmp_path / "stores", backend="ray", ray_address="127.0.0.1:1")


def test_without_ray_the_extra_is_named(source, tmp_path, monkeypatch):
    real = builtins.__import__

    def without_ray(name, *arguments, **keywords):
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(
        MissingExtraError, match=r"dataset.backend: ray needs ray. Install it with: pip install 'phf\[ray\]'"
    ):
        build_store(corpus_for(tiny_tokenizer(), source), tmp_path / "stores", backend="ray")


@pytest.mark.slow
def test_a_cluster_builds_the_store_of_this_machine_also_when_actors_are_killed(source, tmp_path, ray, monkeypatch):
    monkeypatch.setattr("phf.tokens.pieces.PART_BYTES", 1)  # each file is a part
    corpus = corpus_for(tiny_tokenizer(), source, piece_chars=60)
    here = content(build_store(corpus, tmp_path / "here", processes=1))
    seen, killed = [], []

    def kill(num_documents, num_tokens):
        seen.append(num_documents)
        if len(seen) in (3, 9):
            actors = [child for child in psutil.Process().children(recursive=True) if "_EncodingActor" in child.name()]
            killed.extend(actors)
            for actor in actors:
                actor.kill()

    on_ray = build_store(corpus, tmp_path / "ray", backend="ray", processes=2, progress=kill)
    assert killed
    assert seen[-1] == 80
    assert content(on_ray) == here


@pytest.mark.slow
def test_pieces_that_are_there_are_not_encoded_again_on_a_cluster(source, tmp_path, ray):
    corpus = corpus_for(tiny_tokenizer(), source, piece_chars=60)

    def interrupt(num_documents, num_tokens):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(corpus, tmp_path / "stores", backend="ray", progress=interrupt)
    kept = len(list((tmp_path / "stores").rglob("*.npz")))
    seen = []
    store = build_store(corpus, tmp_path / "stores", backend="ray", progress=lambda number, _: seen.append(number))
    assert kept >= 1
    assert seen[-1] < 80
    assert content(store) == content(build_store(corpus, tmp_path / "here"))


@pytest.mark.slow
def test_errors_of_the_corpus_come_from_the_cluster_as_they_are(tmp_path, ray):
    row = {"texts": ["x"], "scores": [1.0]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"scores": [1.0, 2.0]}) + "\n")
    with pytest.raises(CorpusError, match=r"a.jsonl, line 2: 1 text but 2 scores"):
        build_store(corpus_for(tiny_tokenizer(), tmp_path / "a.jsonl"), tmp_path / "stores", backend="ray")
