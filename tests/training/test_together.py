"""Runs side by side are the runs that they would be alone, and their errors come out as they are."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from tests.forked import Forked
from tests.tiny import losses, tiny_config

from phf.errors import ConfigError, OutputError, PhfError
from phf.training.run import train
from phf.training.together import train_together

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path):
    rows = [
        {"id": str(i), "texts": [f"x{i} = {i}\n", f"y{i}={i}\n"] * 30, "scores": [0.0, 0.2] * 30} for i in range(12)
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def children(monkeypatch):
    """The processes that train, which are forked, in the order of their start."""
    started = []

    def popen(*arguments, **settings):
        started.append(Forked(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr("phf.workers.child.subprocess", SimpleNamespace(Popen=popen, PIPE=subprocess.PIPE))
    return started


@pytest.mark.usefixtures("children")
def test_two_runs_at_once_are_what_each_is_alone(source, tmp_path):
    events = []
    jobs = {m: (tiny_config(source, m), tmp_path / m) for m in ("mle", "conditional")}
    train_together(jobs, lambda name, message: events.append((name, message)))
    train(tiny_config(source), tmp_path / "alone")
    assert losses(tmp_path / "mle") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)
    assert all((tmp_path / name / "model" / "config.json").is_file() for name in jobs)
    assert {name for name, message in events if "show" in message} == set(jobs)
    assert any("Training" in message.get("announce", "") for _, message in events)
    assert any("exporting" in message.get("doing", "") for _, message in events)


@pytest.mark.usefixtures("children")
def test_an_error_of_one_run_is_raised_as_it_is_and_ends_the_other(source, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.yaml").write_text("not: this\n")
    (tmp_path / "bad" / "metrics.jsonl").write_text('{"step": 1, "tokens_seen": 8}\n')
    jobs = {
        "good": (tiny_config(source, **{"training.num_tokens": 10**8}), tmp_path / "good"),
        "bad": (tiny_config(source), tmp_path / "bad"),
    }
    with pytest.raises(ConfigError, match=r"bad: .*config\.yaml: 'dataset' is missing"):
        train_together(jobs, lambda name, message: None)


def test_a_killed_process_says_so_and_can_be_resumed(source, tmp_path, children):
    config = tiny_config(source)

    def kill(name, message):
        children[0].kill()

    with pytest.raises(PhfError, match=r"that trained run ended \(signal 9\)\. Run again to resume"):
        train_together({"run": (config, tmp_path / "run")}, kill)
    train_together({"run": (config, tmp_path / "run")}, lambda name, message: None)
    assert len(losses(tmp_path / "run")) == 6


def test_a_run_folder_that_cannot_be_made_is_an_error_of_its_class(source, tmp_path):  # of a process that is not forked
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"run: .*cannot be (written|made)"):
        train_together({"run": (tiny_config(source), tmp_path / "file" / "run")}, lambda name, message: None)
