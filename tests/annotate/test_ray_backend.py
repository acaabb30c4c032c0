"""Annotation on a Ray cluster: the same bytes as on one machine, also when a node dies."""

import json
import os

import pytest

from phf.annotate.runner import annotate
from phf.errors import ConfigError, CorpusError, ScorerError

pytest.importorskip("ray", reason="install the extra: pip install 'phf[ray]'")

OWN = "tests.annotate.scorers_for_tests"
pytestmark = pytest.mark.slow


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    for name in "abc":
        rows = [json.dumps({"id": f"{name}{i}", "text": f"x{i}={i}\ny = 1\n"}) + "\n" for i in range(12)]
        (tmp_path / "corpus" / f"{name}.jsonl").write_text("".join(rows))
    return str(tmp_path / "corpus")


@pytest.fixture(scope="module")
def cluster():
    """Three nodes on this machine; every process of a node dies with it."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 otherwise: they starve where other tests run beside them
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name[0] != "."}


def test_errors_of_scorer_and_corpus_arrive_as_they_are(corpus, tmp_path, cluster):
    def run(source, name, out):
        annotate([source], {"class_name": f"{OWN}:{name}"}, None, out, backend="ray", ray_address=cluster.address)

    with pytest.raises(ScorerError, match="returned nan"):
        run(corpus, "NanScorer", tmp_path / "nan")
    (tmp_path / "broken.jsonl").write_text('{"text": "tw')
    with pytest.raises(CorpusError, match=r"broken\.jsonl, line 1"):
        run(str(tmp_path / "broken.jsonl"), "LengthScorer", tmp_path / "broken")


def test_bad_rows_are_skipped_and_counted_whichever_node_read_them(corpus, tmp_path, cluster):
    for name in "ab":
        with open(f"{corpus}/{name}.jsonl", "a") as file:
            file.write('{"text": null}\n{broken\n')
    scorer = {"class_name": f"{OWN}:LengthScorer"}
    on_ray = annotate(
        [corpus], scorer, None, tmp_path / "ray", backend="ray", ray_address=cluster.address, on_error="skip"
    )
    assert on_ray.skipped["count"] == 4
    assert on_ray == annotate([corpus], scorer, None, tmp_path / "here", on_error="skip")


def test_three_nodes_of_which_one_dies_write_the_bytes_of_one_process(corpus, cluster, tmp_path, monkeypatch):
    seconds = {"class_name": f"{OWN}:LengthScorer", "seconds": 0.05}
    nodes = list(cluster.worker_nodes)
    seen = []

    def kill_a_node(progress):
        seen.append(progress.num_documents)
        if len(seen) == 2:
            cluster.remove_node(nodes[0], allow_graceful=False)

    on_ray = tmp_path / "ray"
    annotate(
        [corpus], seconds, None, on_ray, progress=kill_a_node, backend="ray", ray_address=cluster.address, workers=3
    )
    assert seen[-1] == 36
    annotate([corpus], seconds, None, tmp_path / "one")
    assert content(on_ray) == content(tmp_path / "one")


def test_a_cluster_that_is_not_there_says_so(corpus, tmp_path):
    with pytest.raises(ConfigError, match="There is no Ray cluster at"):
        annotate(
            [corpus], {"class_name": "PEP8Scorer"}, None, tmp_path / "out", backend="ray", ray_address="127.0.0.1:1"
        )
    assert not list((tmp_path / "out").glob("shard-*"))


def test_documents_that_kill_or_hang_are_unscored_with_the_reasons_of_one_machine(tmp_path, cluster):
    corpus = tmp_path / "corpus.jsonl"
    texts = ["fine\n", "kill\n", "also fine\n", "last\n"]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for name, word, reason, limit in (
        ("KillingScorer", "kill", "worker died (exit status 3)", None),
        ("HangingScorer", "hang", "took longer than 2 s", 2.0),
    ):
        corpus.write_text(corpus.read_text().replace("kill", word))
        settings = {"class_name": f"{OWN}:{name}"}
        on_ray = annotate(
            [str(corpus)],
            settings,
            None,
            tmp_path / f"ray-{word}",
            1,
            backend="ray",
            ray_address=cluster.address,
            time_limit=limit,
        )
        assert on_ray.unscored_reasons == {reason: 1}
        assert on_ray.num_unscored == 1
        here = annotate([str(corpus)], settings, None, tmp_path / word, 2, time_limit=limit or 60)
        assert on_ray == here
