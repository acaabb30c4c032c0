"""Runs with a schedule: each phase is its method, and a run that is stopped anywhere is the run that never was."""

import json
import os
import signal

import pytest
from tests.tiny import losses, tiny_config, tiny_corpus

from phf.errors import ConfigError
from phf.feedback import Prompting
from phf.runs.reader import read_run
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.settings.outlook import outlook
from phf.workers.interruption import StoppedError

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
THREE = [
    {"until": 0.34, "method": "mle"},
    {"until": 0.67, "method": "conditional", "dataset": {"conditional_training_config": {"threshold": "p60"}}},
    {"method": "ul"},
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def three(corpus, **changes):
    """Six steps, two in each phase, with dropout, so that the random state matters."""
    changes = {"model.config_kwargs.resid_pdrop": 0.1, "schedule": THREE, **changes}
    return tiny_config(corpus, None, **QUIET, **changes)


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run without workers, and what it announced."""
    folder, said = tmp_path_factory.mktemp("runs") / "whole", []
    train(three(corpus, **{"training.dataloader_num_workers": 0}), folder, announce=said.append)
    return folder, said


@pytest.mark.slow
def test_each_step_has_the_objective_of_its_phase(whole):
    folder, said = whole
    assert [line for line in said if "(phase" in line] == [
        "Steps 1 to 2: 'mle' (phase 1 of 3)",
        "Steps 3 to 4: 'conditional' (phase 2 of 3)",
        "Steps 5 to 6: 'ul' (phase 3 of 3)",
    ]
    lines = read_run(folder).metrics
    assert {line["step"] for line in lines if "train/loss" in line} == {1, 2, 3, 4, 5, 6}
    assert {line["step"] for line in lines if "train/unlikelihood_loss" in line} == {5, 6}


@pytest.mark.slow
def test_a_run_with_workers_that_is_stopped_between_and_in_phases_is_the_run_that_never_was(corpus, whole, tmp_path):
    config = three(corpus, **{"training.dataloader_num_workers": 2})

    def train_until(stop, **settings):
        def show(step, max_steps, numbers):
            if step == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        train(config, tmp_path / "run", show=show, **settings)

    with pytest.raises(StoppedError, match="checkpoint-2"):  # the step that is being made is finished
        train_until(1)
    with pytest.raises(StoppedError, match="checkpoint-5"):
        train_until(4, resume=True)
    train(config, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole[0])
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (tmp_path / "run", whole[0])]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_schedule_of_one_method_gives_its_losses(corpus, tmp_path):
    few = {**QUIET, "model.config_kwargs.resid_pdrop": 0.1, "training.num_tokens": 3 * 4 * 64}
    train(tiny_config(corpus, "conditional", **few), tmp_path / "alone")
    phases = [{"until": 0.5, "method": "conditional"}, {"method": "conditional"}]
    train(tiny_config(corpus, None, **few, schedule=phases), tmp_path / "phases")
    assert losses(tmp_path / "phases") == losses(tmp_path / "alone")


@pytest.mark.slow
def test_the_run_records_its_schedule_and_exports_the_tokens_of_its_tagged_phase(whole):
    folder, _ = whole
    provenance = json.loads((folder / "provenance.json").read_text())
    phases = provenance["schedule"]
    assert [(phase["name"], phase["first_step"], phase["last_step"]) for phase in phases] == [
        ("mle", 1, 2), ("conditional", 3, 4), ("ul", 5, 6),
    ]  # fmt: skip
    assert [(phase["from_tokens"], phase["until_tokens"]) for phase in phases] == [(0, 512), (512, 1024), (1024, 1536)]
    assert (
        phases[1]["blocks"]["counts"]["num_control_tokens"] > 0 == phases[0]["blocks"]["counts"]["num_control_tokens"]
    )
    assert list(provenance["percentiles"]) == ["schedule.1.dataset.conditional_training_config.threshold"]
    prompting = Prompting.load(folder / "model")
    assert (prompting.prefix, len(prompting.control_tokens)) == ("<|aligned|>", 2)
    card = (folder / "model" / "README.md").read_text()
    assert "trained with a schedule: `mle`, then `conditional`, then `ul`" in card
    assert "phase 2, conditional: segments are aligned up to a score of" in card
    assert "phase `conditional` read: documents" in card


def test_what_is_wrong_with_phases_is_found_before_anything_is_trained(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"schedule.0 \('mle', until 0.05\) has none of the run's 6 steps"):
        plan_run(tiny_config(corpus, None, schedule=[{"until": 0.05, "method": "mle"}, {"method": "ul"}]), tmp_path)
    streamed = {"dataset.streaming": True, "schedule": [{"until": 0.5, "method": "mle"}, {"method": "conditional"}]}
    with pytest.raises(ConfigError, match=r"dataset.streaming: the phases of the schedule differ in what they make"):
        plan_run(tiny_config(corpus, None, **streamed), tmp_path)
    headed = {"objective": {"name": "AWR"}, "name": "mine"}
    with pytest.raises(ConfigError, match="'mine' trains a value head and 'mle' has none"):
        plan_run(tiny_config(corpus, None, schedule=[{"until": 0.5, "method": "mle"}, headed]), tmp_path)


def test_a_dry_run_says_what_is_trained_when(corpus, tmp_path):
    notes = outlook(plan_run(three(corpus), tmp_path)).notes
    assert notes[:2] == [
        "Steps 1 to 2 (512 tokens): 'mle'",
        "Steps 3 to 4 (512 tokens): 'conditional'",
    ]
