"""A run whose loss, gradient or weights stop being finite ends there, with what is known about it, and keeps what is good."""

import json
import math
import re

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus
from typer.testing import CliRunner

from phf.cli.app import app
from phf.config import dump_config
from phf.errors import DivergedError
from phf.feedback import objectives
from phf.feedback.objectives import MLE
from phf.runs.reader import read_run
from phf.training import run as training
from phf.training.checkpoints.find import last_checkpoint
from phf.training.divergence import divergence, is_finite_total
from phf.training.run import train

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def lines(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


class BrokenAt(MLE):
    """MLE whose loss or gradient is not finite from one batch on."""

    def __init__(self, batch, factor=1.0, square=False):
        self.batch, self.factor, self.square = batch, factor, square
        self.num_batches = 0

    def bind(self, scores, values):
        self.num_batches += 1
        return super().bind(scores, values)

    def token_loss(self, nll, scores, values):
        if self.num_batches < self.batch:
            return nll, {}
        if self.square:  # finite, with an infinite gradient: d sqrt(x) / dx at 0
            return nll + (nll - nll.detach()).abs().sqrt(), {}
        return nll * self.factor, {}


@pytest.mark.parametrize(
    ("objective", "step", "what"),
    [
        (BrokenAt(7, math.nan), 4, "the loss is not finite"),  # two batches a step
        (BrokenAt(8, math.inf), 4, "the loss is not finite"),
        (BrokenAt(8, square=True), 4, "the norm of the gradient is not finite"),
    ],
)
def test_a_run_ends_before_an_update_that_is_not_finite(objective, step, what, source, tmp_path, monkeypatch):
    monkeypatch.setattr(objectives, "build_objective", lambda section: objective)
    config = tiny_config(source, **QUIET, **{"training.logging_steps": 5})
    with pytest.raises(DivergedError) as error:
        train(config, tmp_path / "run")
    message = str(error.value)
    assert message.startswith(f"Training diverged at step {step}: {what}. The documents of that step: ")
    assert f"The last good checkpoint is {tmp_path / 'run' / 'checkpoint-2'}." in message
    named = re.search(r"The documents of that step: (.*?)\. The last", message).group(1)
    assert re.search(r"\d\d\.py", named)
    for advice in ("learning_rate", "warmup_steps", "max_grad_norm", "bf16"):
        assert advice in message
    assert not (tmp_path / "run" / "model").exists()
    assert last_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-2"
    last = lines(tmp_path / "run")[-1]
    assert last["step"] == step
    if "gradient" in what:
        assert last["train/loss"] > 1
    else:
        assert last["train/loss"] is None
    assert last["train/grad_norm"] is None
    assert all(line.get("train/loss") != 0 for line in lines(tmp_path / "run"))


@pytest.mark.parametrize("last_step", [False, True])
def test_weights_that_are_not_finite_are_neither_measured_nor_saved(last_step, source, tmp_path, monkeypatch):
    made = []
    make = training.ObjectiveLM

    def remember(*args, **settings):
        made.append(make(*args, **settings))
        return made[0]

    def ruin(step, max_steps, numbers):
        if step == (6 if last_step else 3) and "loss" in numbers:
            with torch.no_grad():
                made[0].lm.get_input_embeddings().weight[5, 5] = torch.inf

    monkeypatch.setattr(training, "ObjectiveLM", remember)
    changes = {"training.save_steps": 3, "training.save_strategy": "no" if last_step else "steps"}
    config = tiny_config(source, **QUIET, **changes)
    with pytest.raises(DivergedError, match="after its update some weights are not finite"):
        train(config, tmp_path / "run", show=ruin)
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    assert not (tmp_path / "run" / "model").exists()
    # the loss of that step was finite, so only a line of its own tells the report what became of the run
    assert read_run(tmp_path / "run").divergence is not None


@pytest.mark.parametrize("every_n_steps", [1, 100])
def test_the_command_ends_with_a_status_of_its_own_and_samples_nothing_of_a_diverged_model(
    every_n_steps, source, tmp_path
):
    config = tiny_config(source, **{"training.learning_rate": 1e30, "generation.every_n_steps": every_n_steps})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    arguments = ["train", "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path), "--run-name", "run"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == DivergedError.exit_status == 3
    message = " ".join(result.stderr.split())
    if every_n_steps == 1:  # its weights are finite, its logits are not
        assert "Training diverged at step 2: evaluation failed." in message
        assert read_run(tmp_path / "run").divergence == "diverged: train/loss is not a finite number at step 2"
    else:
        assert "Training diverged at step 3: the loss is not finite." in message
        assert lines(tmp_path / "run")[-1]["train/loss"] is None
    samples = tmp_path / "run/samples/unconditional.jsonl"
    sampled = {json.loads(line)["step"] for line in samples.open()} if samples.exists() else set()
    assert sampled <= {1}  # the first step of the warmup changes nothing


def test_fp16_may_skip_steps_but_not_for_ever(source, tmp_path, monkeypatch):
    """On a CPU there is no fp16: the trainer is made to believe that there is a scale, and that updates are skipped."""

    class Scaled(training.ObjectiveTrainer):
        def _end_if_not_finite(self, norm):
            self.accelerator.scaler = object()
            norms.append(norm)
            try:
                super()._end_if_not_finite(torch.tensor(math.inf) if len(norms) in skipped else norm)
            finally:
                self.accelerator.scaler = None

    monkeypatch.setattr(training, "ObjectiveTrainer", Scaled)
    monkeypatch.setattr("phf.training.trainer.MAX_SKIPPED_STEPS", 3)
    norms, skipped = [], {2, 3, 5}
    train(tiny_config(source, **QUIET), tmp_path / "fine")
    norms, skipped = [], {2, 3, 4}
    with pytest.raises(DivergedError, match=r"at step 4: the norm of the gradient is not finite for .* steps in a row"):
        train(tiny_config(source, **QUIET), tmp_path / "never")


def test_only_finite_tensors_are_finite():
    fine = [torch.ones(3), torch.tensor([3e38]), torch.zeros(0), torch.tensor([1])]
    assert is_finite_total(fine)
    for value in (math.nan, math.inf, -math.inf):
        assert not is_finite_total([*fine, torch.tensor([0.0, value])])
    assert is_finite_total([])


def test_a_message_names_some_documents_and_counts_the_others():
    message = str(divergence("x", 1, [f"d{i}" for i in range(20)], None))
    assert "d0, d1, d2, d3, d4, d5, d6, d7 and 12 more." in message
    assert "No good checkpoint had been written yet" in message


def test_a_checkpoint_of_the_weights_that_gave_the_loss_is_not_called_good(source, tmp_path, monkeypatch):
    monkeypatch.setattr(objectives, "build_objective", lambda section: BrokenAt(7, math.nan))  # at step 4
    with pytest.raises(DivergedError, match=r"The last good checkpoint is .*checkpoint-2\."):
        train(tiny_config(source, **QUIET, **{"training.save_steps": 1}), tmp_path / "run")
    assert last_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-3"
