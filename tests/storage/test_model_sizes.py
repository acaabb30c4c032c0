"""A configuration of a model that is far larger than the weights beside it is refused before memory is taken for it."""

import json

import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertLMHeadModel,
)

from phf.errors import ConfigError
from phf.storage.model_sizes import num_values
from phf.storage.pretrained import load_model


def configured(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize("key", ["vocab_size", "n_positions", "n_inner"])
def test_a_size_that_the_weights_cannot_have_is_refused(key, tmp_path, monkeypatch):
    tiny_lm("gpt2", tiny_tokenizer()).save_pretrained(tmp_path)
    configured(tmp_path, **{key: 2**40})
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)  # which would take the memory
    with pytest.raises(
        ConfigError, match=r"MODEL_DIR: '.*' is configured as a model of [\d,]+ values, but its files of weights"
    ):
        load_model(AutoModelForCausalLM, str(tmp_path), "MODEL_DIR")


def test_a_model_is_loaded_with_its_own_size_and_with_a_new_head(tmp_path):
    tiny_lm("gpt2", tiny_tokenizer()).save_pretrained(tmp_path)
    state = torch.get_rng_state()
    load_model(AutoModelForCausalLM, str(tmp_path), "MODEL_DIR")
    assert bool((torch.get_rng_state() == state).all())
    load_model(AutoModelForSequenceClassification, str(tmp_path), "MODEL_DIR", has_new_head=True, num_labels=3)


def test_an_id_that_no_tensor_can_hold_is_an_error_in_one_line(tmp_path):
    tiny_lm("gpt2", tiny_tokenizer()).save_pretrained(tmp_path)
    configured(tmp_path, vocab_size=10**30)
    with pytest.raises(ConfigError, match="MODEL_DIR"):
        load_model(AutoModelForCausalLM, str(tmp_path), "MODEL_DIR")


def test_the_size_is_that_of_the_model_that_is_built():
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, is_decoder=True
    )
    model = BertLMHeadModel(config)
    expected = sum(values.numel() for values in (*model.parameters(), *model.buffers()))
    assert num_values(AutoModelForCausalLM, config) == expected


def test_a_class_that_cannot_be_built_is_left_to_transformers(tmp_path):
    AutoConfig.for_model("t5").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(AutoModelForCausalLM, str(tmp_path), "MODEL_DIR")
