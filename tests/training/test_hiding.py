"""Runs that hide segments, from the configuration to the loss; stored and streamed blocks say the same of what is hidden."""

import numpy as np
import pytest
from tests.tiny import losses, tiny_config, tiny_corpus

from phf.errors import ConfigError
from phf.feedback.objectives import IGNORE_INDEX
from phf.training.data import prepare_data
from phf.training.dataset import Collator
from phf.training.run import train

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
FEW = {**QUIET, "training.num_tokens": 2 * 4 * 64, "model.config_kwargs.resid_pdrop": 0.0}
HIDING = {"dataset.hidden_threshold": 0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def test_a_block_says_which_segments_are_hidden_and_what_follows_them_is_not_a_target(source):
    items = {}
    for streaming in (False, True):
        data = prepare_data(
            tiny_config(source, **QUIET, **HIDING, **{"dataset.streaming": streaming}), lambda message: None
        )
        blocks = data.train
        items[streaming] = list(blocks.epoch(0)) if streaming else [blocks[i] for i in range(len(blocks))]
    stored, streamed = (
        sorted(one["input_ids"].tolist() + one["hidden"].tolist() for one in of) for of in items.values()
    )
    assert stored == streamed
    block = items[False][0]
    hidden, scores = block["hidden"], block["token_scores"]
    is_eos = block["input_ids"] == data.tokenizer.eos_token_id
    np.testing.assert_array_equal(hidden > 0, (scores > 0) & ~is_eos)
    assert 0 < (hidden > 0).mean() < 1
    batch = Collator(hides=True)([block, block])
    ignored = np.flatnonzero(batch["labels"][1].numpy() == IGNORE_INDEX)
    assert ignored.tolist() == [0, *(1 + np.flatnonzero((hidden[:-1] > 0) & (hidden[:-1] != hidden[1:])))]
    assert not Collator(hides=True).ignores_only_first
    assert batch["hidden"].shape == batch["input_ids"].shape


@pytest.mark.slow
def test_a_run_that_hides_nothing_is_mle_and_one_that_hides_is_not(source, tmp_path):
    of_runs = {}
    for name, changes in {
        "mle": {},
        "nothing hidden": {"dataset.hidden_threshold": 1000},
        "hiding": HIDING,
        "one block at a time": {**HIDING, "training.per_device_train_batch_size": 1},
    }.items():
        train(tiny_config(source, **FEW, **changes), tmp_path / name)
        of_runs[name] = losses(tmp_path / name)
    assert of_runs["nothing hidden"] == pytest.approx(of_runs["mle"], rel=1e-5)
    assert of_runs["one block at a time"] == pytest.approx(of_runs["hiding"], rel=1e-5)
    assert abs(of_runs["hiding"][-1] - of_runs["mle"][-1]) > 1e-4


def test_a_model_that_cannot_hide_is_refused_before_the_data_is_read(source, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.training.run.prepare_data", None)
    kwargs = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "sliding_window": 8,
    }
    windowed = {"model.model_type": "mistral", "model.path_or_name": None, "model.config_kwargs": kwargs}
    with pytest.raises(ConfigError, match=r"MistralForCausalLM attends to 8 tokens only \(sliding_window\)"):
        train(tiny_config(source, **HIDING, **windowed), tmp_path / "run")
