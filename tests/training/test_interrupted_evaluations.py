"""A signal during an evaluation is answered at once: the step is saved, and the evaluation is made when the run is resumed."""

import json
import os
import shutil
import signal
import time

import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus, tiny_reference

from phf.config import dump_config
from phf.evaluation.held_out import loss
from phf.evaluation.kl import logprob
from phf.sampling import generate
from phf.training.callbacks import EvaluationCallback
from phf.training.run import train
from phf.workers.interruption import StoppedError

NUM_STEPS = 12
SPEEDS = ("per_second", "seconds", "memory", "utilization", "wait")
PARTS = {"samples": (generate, "sample_batch"), "held-out": (loss, "predicted_tokens"), "kl": (logprob, "check_nats")}
"""Called for each piece of a part of an evaluation."""


@pytest.fixture(scope="module")
def make_config(tmp_path_factory):
    """A function from changes to a configuration with samples, held-out loss and KL at steps 4, 8 and 12 (samples and loss at
    0 too), and dropout, so that the random state matters."""
    reference = tiny_reference(tmp_path_factory.mktemp("reference"))
    kl = {"reference": {"path_or_name": reference}, "num_samples": 4, "max_tokens": 8, "batch_size": 2}
    changes = {
        "model.config_kwargs.resid_pdrop": 0.1,
        "training.save_steps": 100,
        "training.logging_steps": 3,
        "training.save_total_limit": 5,
        "training.inspect_steps": 2,
        "training.num_tokens": NUM_STEPS * 4 * 64,
        "generation.every_n_steps": 4,
        "generation.run_on_train_start": True,
        "generation.batch_size": 2,
        "kl_gpt3_callback": {**kl, "every_n_steps": 4},
    }
    corpus = tiny_corpus(tmp_path_factory.mktemp("corpus"))
    return lambda others: tiny_config(corpus, "mle", **{**changes, **others})


@pytest.fixture(scope="module")
def config(make_config):
    return make_config({})


def numbers(run_dir):
    """[(step, key, value)] of what is not measured of the machine, each as often as it was written."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    rows = [(line["step"], key, value) for line in lines for key, value in line.items()]
    return sorted(row for row in rows if row[2] is not None and not any(speed in row[1] for speed in SPEEDS))


def signal_in(monkeypatch, part, at_step):
    """SIGTERM in the second piece of a part of the evaluation of a step, which would then last for long; once.

    Returns a list that gets the step of each piece.
    """
    module, name = PARTS[part]
    run, work = EvaluationCallback._run, getattr(module, name)
    steps, now, sent = [], [], []

    def noted(self, step):
        now[:] = [step]
        run(self, step)

    def asked(*arguments, **settings):
        steps.append(now[0])
        if not sent and steps.count(at_step) == 2:
            sent.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
            pytest.fail("the signal waited for the evaluation")
        return work(*arguments, **settings)

    monkeypatch.setattr(EvaluationCallback, "_run", noted)
    monkeypatch.setattr(module, name, asked)
    return steps


def assert_same(run_dir, whole):
    assert numbers(run_dir) == numbers(whole)
    for name in ("samples/unconditional.jsonl", "inspected.jsonl", "model/model.safetensors"):
        assert (run_dir / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(("step", "part"), [(4, "samples"), (4, "kl"), (NUM_STEPS, "held-out"), (NUM_STEPS, "kl")])
def test_the_step_is_saved_and_its_evaluation_is_made_by_the_resumed_run(
    config, whole, tmp_path, monkeypatch, step, part
):
    run_dir = tmp_path / "run"
    steps = signal_in(monkeypatch, part, step)
    with pytest.raises(StoppedError, match=f"Stopped by SIGTERM after step {step}: .*/checkpoint-{step}. To continue"):
        train(config, run_dir)
    assert [path.name for path in run_dir.glob("checkpoint-*")] == [f"checkpoint-{step}"]
    assert not (run_dir / "model").exists()
    made = {key.partition("/")[0] for at, key, _ in numbers(run_dir) if at == step}
    assert made & {"eval", "kl"} == ({"eval"} if part == "kl" else set())
    steps.clear()
    returned = train(config, run_dir, resume=True)
    assert steps[0] == step
    assert {"eval/loss", "kl/nats_per_sequence", "generation/unconditional/score"} <= returned.keys()
    assert_same(run_dir, whole)


def test_a_run_whose_first_evaluation_is_interrupted_begins_again(config, whole, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    signal_in(monkeypatch, "held-out", 0)
    with pytest.raises(StoppedError, match=f"Stopped by SIGTERM before the first step: {run_dir}. To begin again"):
        train(config, run_dir)
    assert not list(run_dir.glob("checkpoint-*"))
    train(config, run_dir, resume=True)
    assert_same(run_dir, whole)


def test_a_run_that_is_resumed_at_its_last_checkpoint_repeats_no_line(config, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    for _ in range(2):
        shutil.rmtree(run_dir / "model")  # killed when it had done everything but that
        train(config, run_dir, resume=True)
        assert (run_dir / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
        assert_same(run_dir, whole)


def test_an_evaluation_may_be_interrupted_again(config, whole, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    for part, resume in (("held-out", False), ("kl", True)):
        with monkeypatch.context() as patched:
            signal_in(patched, part, 4)
            with pytest.raises(StoppedError, match=r"after step 4: .*/checkpoint-4\. To continue"):
                train(config, run_dir, resume=resume)
    train(config, run_dir, resume=True)
    assert_same(run_dir, whole)


IN_THE_EVALUATION = """
import os, signal, time
from phf.sampling import generate
from phf.training.callbacks import EvaluationCallback
run, draw, now = EvaluationCallback._run, generate.sample_batch, []
def noted(self, step):
    now[:] = [step]
    run(self, step)
def slow(*arguments, **settings):
    if now == [4]:
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        print("drawn", flush=True)
        time.sleep(3)
    return draw(*arguments, **settings)
EvaluationCallback._run = noted
generate.sample_batch = slow
from phf.cli.app import main
main()
"""
"""A program that is `phf`; each sample of step 4 takes three seconds, and one of the processes is sent a signal meanwhile."""


@pytest.mark.slow
def test_if_one_of_two_processes_is_asked_both_leave_the_evaluation(make_config, tmp_path):
    config = make_config({"generation.batch_size": 1, "model.config_kwargs.resid_pdrop": 0.0})
    train(config, tmp_path / "whole")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "asked.py").write_text(IN_THE_EVALUATION)
    options = ["train", "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path), "--run-name", "run"]
    ranks = run_ranks([str(tmp_path / "asked.py"), *options], tmp_path, may_fail=True)
    assert [rank.status for rank in ranks] == [75, 75]
    assert "Stopped by SIGTERM after step 4" in ranks[0].stderr
    assert ranks[0].stdout.count("drawn") == 1  # of three that are its share
    run_ranks(["-m", "phf", *options, "--resume"], tmp_path)
    expected, resumed = numbers(tmp_path / "whole"), numbers(tmp_path / "run")
    assert [row[:2] for row in resumed] == [row[:2] for row in expected]
    assert [row[2] for row in resumed] == pytest.approx([row[2] for row in expected], rel=1e-6, abs=1e-6)
    samples = [(tmp_path / name / "samples" / "unconditional.jsonl").read_bytes() for name in ("whole", "run")]
    assert samples[1] == samples[0]
