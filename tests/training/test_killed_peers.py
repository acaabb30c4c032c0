"""When a process of a distributed run is killed, the others end by themselves, soon, and say so; the run can be resumed."""

import time

import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config
from phf.storage.file_list import damaged_files

KILLED = """
import os, signal, sys, time
from pathlib import Path
from phf.evaluation.generation.evaluator import Evaluator
from phf.training.preemption import Preemption
from phf.training.trainer import ObjectiveTrainer

where, rank = sys.argv.pop(1), sys.argv.pop(1)
cls, name = {{
    "a step": (ObjectiveTrainer, "compute_loss"),
    "a checkpoint": (ObjectiveTrainer, "_save_rng_state"),
    "an evaluation": (Evaluator, "run"),
}}[where]
call, calls = getattr(cls, name), 0
def killed(*arguments, **settings):
    global calls
    calls += 1
    if calls == 2 and os.environ["RANK"] == rank:
        Path({mark!r}).write_text(str(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*arguments, **settings)
setattr(cls, name, killed)
from phf.cli.app import main
main()
"""
"""`phf`, of which one process is killed at the second call of something."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    changes = {"generation.every_n_steps": 2, "training.save_steps": 2, "training.num_tokens": 8 * 4 * 64}
    return tiny_config(tiny_corpus(tmp_path_factory.mktemp("corpus")), **changes)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("where", ["a step", "a checkpoint", "an evaluation"])
def test_the_others_end_within_a_minute_and_say_so(where, rank, config, tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "killed.py").write_text(KILLED.format(mark=str(tmp_path / "mark")))
    command = [str(tmp_path / "killed.py"), where, str(rank), "train", "--config", str(tmp_path / "config.yaml")]
    ranks = run_ranks([*command, "--output-dir", str(tmp_path), "--run-name", "run"], tmp_path, may_fail=True)
    seconds = time.time() - float((tmp_path / "mark").read_text())
    survivor = ranks[1 - rank]
    assert ranks[rank].status == -9
    assert survivor.status == 2
    assert "Another process of this job has ended, or cannot be reached" in survivor.stderr
    assert "phf train: with --resume" in survivor.stderr
    assert seconds < 60
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        assert damaged_files(checkpoint) == []
