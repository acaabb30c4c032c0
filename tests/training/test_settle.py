"""A run that is compiled is the run that is not, whatever else it does; without a compiler it goes on uncompiled."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tests.forked import Forked
from tests.ranks import run_ranks
from tests.tiny import losses, tiny_config, tiny_corpus

from phf.config import dump_config
from phf.training.run import train
from phf.training.settle import compiler_problem

QUIET = {"generation.run_on_train_start": False, "dataset.max_eval_tokens": 320}
COMPILED = {"model.compile": True, "training.torch_compile_backend": "aot_eager"}

pytestmark = pytest.mark.slow  # the compiler is imported


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def is_compiled(run_dir):
    return json.loads((run_dir / "provenance.json").read_text())["choices"]["compiled"]


def test_a_compiled_run_samples_resumes_and_exports_as_any_other(source, tmp_path):
    settings = {**QUIET, "training.gradient_checkpointing": True}
    train(tiny_config(source, "awr", **settings), tmp_path / "plain")
    config = tiny_config(source, "awr", **settings, **COMPILED)
    train(config, tmp_path / "run")
    assert (is_compiled(tmp_path / "plain"), is_compiled(tmp_path / "run")) == (False, True)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
    (tmp_path / "run" / "model").rename(tmp_path / "before")
    (tmp_path / "run" / "checkpoint-6").rename(tmp_path / "last")
    whole = losses(tmp_path / "run")
    train(config, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == whole
    weights = [load_file(folder / "model.safetensors") for folder in (tmp_path / "before", tmp_path / "run" / "model")]
    assert all("_orig_mod" not in name for name in weights[1])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_two_processes_that_compile_give_the_losses_of_one_that_does_not(source, tmp_path):
    settings = {
        "training.activation_checkpointing": True,
        "model.config_kwargs.n_layer": 1,
        "dataset.eval_fraction": 0.0,
    }
    settings |= {"generation.run_on_train_end": False}
    train(tiny_config(source, "awr", **settings), tmp_path / "one")
    (tmp_path / "config.yaml").write_text(dump_config(tiny_config(source, "awr", **settings, **COMPILED)))
    options = ["--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path), "--run-name", "two"]
    run_ranks(["-m", "phf", "train", *options], tmp_path, timeout=300)
    assert (is_compiled(tmp_path / "one"), is_compiled(tmp_path / "two")) == (False, True)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),  # auto, on a CPU
        ({"training.torch_compile_backend": "eager"}, True),
        ({"training.torch_compile_backend": "eager", "model.compile": False}, False),
    ],
)
def test_the_key_of_trainer_and_ours_mean_the_same(settings, expected, source, tmp_path):
    announced = []
    short = {"training.num_tokens": 4 * 64, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
    train(tiny_config(source, **short, **settings), tmp_path / "run", announce=announced.append)
    assert is_compiled(tmp_path / "run") == expected
    (line,) = [message for message in announced if message.startswith("compiled: ")]
    assert line.startswith(f"compiled: {'yes' if expected else 'no'} (")


def test_a_run_without_a_compiler_is_not_compiled_and_says_so(source, tmp_path):
    short = {"training.num_tokens": 2 * 4 * 64, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
    config = tiny_config(source, **short, **{"model.compile": True})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    command = [sys.executable, "-m", "phf", "train", "--config", str(tmp_path / "config.yaml")]
    command += ["--output-dir", str(tmp_path), "--run-name", "run"]
    hidden = {"PATH": str(tmp_path), "CXX": str(tmp_path / "g++"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    process = Forked(command, env={**os.environ, **hidden}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "compiled: no (torch.compile does not work here: " in said
    assert len(losses(tmp_path / "run")) == 2


def test_what_compiles_has_no_problem_and_what_does_not_says_which():
    assert compiler_problem(torch.device("cpu"), {"backend": "eager"}) is None

    def broken(graph, inputs):
        raise RuntimeError("no compiler today\nat line 3")

    assert "no compiler today" in compiler_problem(torch.device("cpu"), {"backend": broken})
