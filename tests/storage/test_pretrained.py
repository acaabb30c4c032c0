"""Checkpoints whose weights are not those of the model: refused by name, whatever loads them."""

import json
import logging
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaForSequenceClassification,
)

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models import load_lm
from phf.models.model_folder import load_folder_lm
from phf.storage.pretrained import load_model

KEY = "model.path_or_name"
WTE = "transformer.wte.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A saved GPT-2 of two layers: 28 weights, of which the head is tied and not stored."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_lm("gpt2", tiny_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture
def changed(whole, tmp_path):
    """changed(f) -> the folder with its weights replaced by f(weights), and its configuration updated."""

    def build(change, **settings):
        config = json.loads((whole / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, **settings}))
        save_file(change(load_file(whole / "model.safetensors")), tmp_path / "model.safetensors", {"format": "pt"})
        return str(tmp_path)

    return build


def load(folder, **settings):
    return load_model(AutoModelForCausalLM, folder, KEY, dtype=torch.float32, **settings)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "lm.", "model.", "base_model.model.", "module._orig_mod."])
def test_weights_saved_from_inside_a_wrapper_are_refused_by_both_names(changed, prefix):
    folder = changed(lambda weights: {prefix + name: values for name, values in weights.items()})
    message = (
        r"transformer\.wte\.weight and 27 more are not in .*"
        rf"it has {prefix}transformer\.\S+, which would be transformer\."
    )
    with pytest.raises(ConfigError, match=message):
        load(folder)


def test_one_wrapped_layer_is_enough(changed):
    def wrap(weights):
        return {name.replace("h.1.", "h.1._checkpoint_wrapped_module."): values for name, values in weights.items()}

    with pytest.raises(ConfigError, match=r"it has transformer\.h\.1\._checkpoint_wrapped_module\.attn.* would be"):
        load(changed(wrap))


def test_a_missing_weight_is_named(changed):
    gone = "transformer.h.1.mlp.c_fc.bias"
    with pytest.raises(ConfigError, match=rf"{gone} is not in '.*', and would be random numbers"):
        load(changed(lambda weights: {name: values for name, values in weights.items() if name != gone}))
    with pytest.raises(ConfigError, match=r"transformer\.wte\.weight is not in"):
        load(changed(lambda weights: {name: values for name, values in weights.items() if name != WTE}))


def test_every_way_to_load_a_causal_model_refuses(changed, tmp_path):
    folder = changed(lambda weights: {"module." + name: values for name, values in weights.items()})
    tiny_tokenizer().save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"MODEL_DIR: .* are not in"):
        load_folder_lm(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.path_or_name: .* are not in"):
        load_lm(ModelConfig(path_or_name=folder, from_scratch=False), tiny_tokenizer(), 32, 0)


@pytest.mark.parametrize("settings", [{}, {"device_map": "meta"}])
def test_other_shapes_are_named_and_not_filled_in(changed, settings):
    folder = changed(dict, n_embd=32)
    with pytest.raises(
        ConfigError, match=r"has the shape \[\d+.*\] in '.*', but its configuration says \[\d+.*\], and \d+ more"
    ):
        load(folder, **settings)


def test_layers_that_the_configuration_leaves_out_are_refused_unless_meant(changed, caplog):
    folder = changed(dict, n_layer=1)
    with pytest.raises(ConfigError, match=r"transformer\.h\.1\.\S+ and \d+ more are in '.*', but not in the model"):
        load(folder)
    with caplog.at_level(logging.WARNING):
        load(folder, may_leave_out=True)
    assert "transformer.h.1." in caplog.text


def test_twice_the_same_weight_under_two_names_is_refused(changed):
    with pytest.raises(ConfigError, match=r"module\.transformer\.wte\.weight is in '.*' next to"):
        load(changed(lambda weights: {**weights, "module." + WTE: weights[WTE] + 1}))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_of_a_diverged_run_are_refused(changed, value):
    def spoil(weights):
        weights[WTE][3, 4] = value
        return weights

    with pytest.raises(ConfigError, match=r"are not finite: transformer\.wte\.weight contains NaN or infinity"):
        load(changed(spoil))


def test_adapters_are_not_models(whole, tmp_path, changed):
    folder = changed(dict)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2", "peft_type": "LORA"}')
    with pytest.raises(ConfigError, match=r"is an adapter \(LoRA\), not a model. Merge it"):
        load(folder)


def test_unmerged_adapters_inside_the_weights_are_recognised(changed):
    def adapt(weights):
        name = "transformer.h.0.attn.c_attn."
        weights[name + "base_layer.weight"] = weights.pop(name + "weight")
        weights[name + "lora_A.default.weight"] = torch.zeros(2, 16)
        return weights

    with pytest.raises(ConfigError, match=r"c_attn\.weight is not in '.*' \(it has a LoRA adapter"):
        load(changed(adapt))


def test_what_need_not_be_stored_may_be_missing(changed, whole):
    """A tied head, buffers, and the prefix of the base model."""
    expected = load(str(whole)).state_dict()
    bare = changed(lambda weights: {name.removeprefix("transformer."): values for name, values in weights.items()})
    assert all(torch.equal(values, expected[name]) for name, values in load(bare).state_dict().items())
    old = changed(lambda weights: {**weights, "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64)})
    assert torch.equal(load(old).transformer.wte.weight, expected[WTE])


def test_the_head_of_another_task_is_left_out_with_a_warning(tmp_path, caplog):
    GPT2ForSequenceClassification(GPT2Config(**SMALL)).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        load(str(tmp_path))
    assert "score.weight is in" in caplog.text
    assert "left out" in caplog.text


SMALL = {"vocab_size": 300, "n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 64, "pad_token_id": 0}


def test_an_untied_head_must_be_there(tmp_path):
    config = tiny_lm("llama", tiny_tokenizer(), tie_word_embeddings=False).config
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"lm_head\.weight is not in"):
        load(str(tmp_path))


def test_a_new_classification_head_is_the_only_thing_that_may_be_new(changed, caplog):
    def load_classifier(folder):
        return load_model(AutoModelForSequenceClassification, folder, "glue", has_new_head=True, num_labels=3)

    with caplog.at_level(logging.WARNING):
        assert load_classifier(changed(dict)).score.weight.shape == (3, 16)
    assert not caplog.records
    with pytest.raises(ConfigError, match=r"glue: transformer\.ln_f\.bias is not in"):
        load_classifier(changed(lambda weights: {n: v for n, v in weights.items() if n != "transformer.ln_f.bias"}))
    with pytest.raises(ConfigError, match=r"glue: transformer\.wte\.weight and 27 more are not in"):
        load_classifier(changed(lambda weights: {"lm." + name: values for name, values in weights.items()}))
