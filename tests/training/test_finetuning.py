"""Finetuning with feedback, as in the paper: from a released checkpoint, on the part of the corpus that it has not seen."""

import json

import pytest
import torch
from tests.released_checkpoints import CONTROL, WIDTH, released_checkpoint, released_weights, write_weights
from tests.tiny import tiny_config, tiny_corpus

from phf.errors import ConfigError
from phf.evaluation.run import evaluate_folders
from phf.feedback import Prompting
from phf.models import load_value_head
from phf.runs.reader import read_samples
from phf.training.run import train

STEP = 4 * 64
SEEN = 8 * STEP


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A released checkpoint of MLE: no control tokens, but a value head among its weights."""
    folder = tmp_path_factory.mktemp("halfway") / "m"
    return released_checkpoint(folder, conditional=False), folder


def finetuning(corpus, folder, method, **changes):
    return tiny_config(
        corpus,
        method,
        **{
            "model.model_type": None,
            "model.config_kwargs": {},
            "model.path_or_name": str(folder),
            "model.from_scratch": False,
            "tokenizer.train_from_corpus": None,
            "dataset.eval_fraction": 0.0,
            "dataset.skip_tokens": SEEN,
            "training.tokens_already_seen": SEEN,
            "training.num_tokens": SEEN + 2 * STEP,
            "generation.run_on_train_start": False,
            "generation.run_on_train_end": False,
            **changes,
        },
    )


@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_every_method_continues_from_the_halfway_checkpoint(corpus, halfway, method, tmp_path):
    lm, folder = halfway
    changes = {"dataset.filter_threshold": 1.0} if method == "filtering" else {}
    train(finetuning(corpus, folder, method, **changes), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["tokens_seen"] for line in lines if "train/loss" in line]
    assert seen == [SEEN + STEP, SEEN + 2 * STEP]
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["blocks"]["counts"]["num_documents_skipped"] == 9  # of 233 tokens each
    prompting = Prompting.load(tmp_path / "run" / "model")
    assert tuple(prompting.control_tokens) == (CONTROL if method == "conditional" else ())
    rows = json.loads((tmp_path / "run" / "model" / "config.json").read_text())["vocab_size"]
    assert rows == lm.config.vocab_size + len(prompting.control_tokens)


def test_awr_continues_from_the_value_head_of_the_checkpoint(corpus, halfway, tmp_path):
    lm, folder = halfway
    said = []
    config = finetuning(corpus, folder, "awr", **{"training.learning_rate": 0.0})
    train(config, tmp_path / "run", announce=said.append)
    assert f"Training continues from the value head of {folder}" in said
    hidden = torch.randn(1, 3, WIDTH)
    assert torch.equal(load_value_head(tmp_path / "run" / "model", lm)(hidden), load_value_head(folder, lm)(hidden))


def test_a_value_head_of_another_shape_is_refused_before_the_corpus_is_scored(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    lm = released_checkpoint(tmp_path / "m", conditional=False)
    write_weights(tmp_path / "m", released_weights(lm) | {"value_head.head.weight": torch.zeros(1, 3)})
    with pytest.raises(ConfigError, match=r"value_head\.head\.weight has the shape \[1, 3\]"):
        train(finetuning(corpus, tmp_path / "m", "awr"), tmp_path / "run")
    assert not (tmp_path / "cache").exists()


def test_a_released_conditional_checkpoint_is_evaluated_from_its_control_token_with_its_value_head(corpus, tmp_path):
    released_checkpoint(tmp_path / "m")
    config = tiny_config(corpus, "mle", **{"generation.scenario_configs.0.best_of": 2})
    said = []
    numbers = evaluate_folders([tmp_path / "m"], config, tmp_path / "out", ["generation"], said.append).numbers["m"]
    assert not any("skipped" in line for line in said)
    assert numbers["generation/unconditional/num_samples"] == 5
    rows = read_samples(tmp_path / "out", "unconditional", step=0)
    assert len(rows) == 5
    with pytest.raises(
        ConfigError, match=r"held-out text cannot be given its control tokens\. Write it with `phf export"
    ):
        evaluate_folders([tmp_path / "m"], config, tmp_path / "held-out", ["held-out"])


def test_a_model_out_of_reach_says_which_and_how_to_give_a_folder(corpus, tmp_path):
    config = finetuning(corpus, "someone/model", "mle", **{"model.model_kwargs": {"revision": "abc"}})
    with pytest.raises(
        ConfigError,
        match=r"model\.path_or_name: 'someone/model' \(revision abc\) cannot be loaded: .* Check the name and the network, "
        r"or give a local folder: model\.path_or_name=FOLDER",
    ):
        train(config, tmp_path / "run")
