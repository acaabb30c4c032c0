"""`dataset.attention: document` from the configuration to the loss of a run, stored or streamed, and in its evaluation."""

import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus

from phf.errors import ConfigError
from phf.evaluation.held_out.loss import held_out_numbers
from phf.feedback import NO_CONTROL_TOKENS
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM, load_lm
from phf.training.data import prepare_data
from phf.training.dataset import Collator
from phf.training.run import train

DOCUMENT = {"dataset.attention": "document"}
QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
WITHOUT_DROPOUT = {f"model.config_kwargs.{key}_pdrop": 0.0 for key in ("attn", "resid", "embd")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def quiet_config(source, **changes):
    return tiny_config(source, **{**QUIET, **WITHOUT_DROPOUT, "training.num_tokens": 3 * 4 * 64, **changes})


@pytest.mark.slow
def test_a_run_is_that_of_documents_apart_for_any_division_of_its_batches(source, tmp_path):
    of_runs = {}
    for name, changes in {
        "document": DOCUMENT,
        "one block at a time": {**DOCUMENT, "training.per_device_train_batch_size": 1},
        "dense": {**DOCUMENT, "model.head": "dense"},
        "packed": {},
    }.items():
        train(quiet_config(source, **changes), tmp_path / name)
        of_runs[name] = losses(tmp_path / name)
    assert of_runs["one block at a time"] == pytest.approx(of_runs["document"], rel=1e-5)
    assert of_runs["dense"] == pytest.approx(of_runs["document"], rel=1e-5)
    assert abs(of_runs["packed"][-1] - of_runs["document"][-1]) > 1e-4
    with pytest.raises(ConfigError, match=r"They differ in: dataset.attention: 'document' -> 'packed'"):
        train(quiet_config(source), tmp_path / "document", resume=True)


def test_held_out_loss_is_that_which_training_would_have(source):
    config = tiny_config(source, **DOCUMENT)
    data = prepare_data(config, lambda message: None)
    assert data.evaluation is not None
    lm = load_lm(config.model, data.tokenizer, 64, 0)
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(3)
    module = ObjectiveLM(lm.eval(), MLE())
    batch = Collator()([data.evaluation[i] for i in range(len(data.evaluation))])
    batch.pop("documents")
    in_training = float(module(**batch)["loss"].detach())
    packed = float(module(**{key: value for key, value in batch.items() if key != "position_ids"})["loss"].detach())
    numbers = held_out_numbers(module, data.evaluation, data.tokenizer, NO_CONTROL_TOKENS, threshold=0.0, batch_size=3)
    assert numbers["loss"] == pytest.approx(in_training, rel=1e-5)
    assert abs(packed - in_training) > 1e-3


@pytest.mark.slow
def test_a_streamed_run_keeps_documents_apart(source, tmp_path):
    of_runs = {}
    for attention in ("document", "packed"):
        changes = {"dataset.streaming": True, "dataset.attention": attention}
        train(quiet_config(source, **changes), tmp_path / attention)
        of_runs[attention] = losses(tmp_path / attention)
    assert len(of_runs["document"]) == len(of_runs["packed"]) == 3
    assert of_runs["document"] != of_runs["packed"]


def test_a_model_that_cannot_is_refused_before_the_data_is_read(source, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.training.run.prepare_data", None)
    bloom = {"hidden_size": 16, "n_layer": 2, "n_head": 2}
    with pytest.raises(
        ConfigError, match=r"dataset\.attention is document, but BloomForCausalLM lets a token see documents"
    ):
        train(
            quiet_config(
                source,
                **DOCUMENT,
                **{"model.model_type": "bloom", "model.path_or_name": None, "model.config_kwargs": bloom},
            ),
            tmp_path / "run",
        )
