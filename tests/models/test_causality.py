"""Models that see what they should predict are found by trying, whatever their architecture calls it."""

import pytest
import torch
from tests.tiny import TINY_MODELS, tiny_lm, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models import load_lm, pretrained_lm
from phf.models.building.causality import change_by_later_tokens, check_causal

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "vocab_size": 300,
}
XLNET = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32, "vocab_size": 300}
GEMMA3 = {**TINY_MODELS["gemma2"], "vocab_size": 300, "use_bidirectional_attention": True}
MOE = {
    **TINY_MODELS["llama"],
    "vocab_size": 300,
    "num_key_value_heads": 1,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
MAMBA = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 300}


def build(model_type, **settings):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings), dtype=torch.float32)


@pytest.mark.parametrize(
    ("model_type", "settings", "advice"),
    [
        ("bert", BERT, "is_decoder: true"),
        ("roberta", {**BERT, "pad_token_id": 0}, "is_decoder: true"),
        ("xlnet", XLNET, "attn_type: uni"),
        ("gemma3_text", GEMMA3, "use_bidirectional_attention: false"),
    ],
)
def test_a_model_that_sees_later_tokens_is_refused_with_the_setting_that_helps(model_type, settings, advice):
    lm = build(model_type, **settings)
    assert change_by_later_tokens(lm) > 1e-3
    with pytest.raises(ConfigError, match=f"model.model_type: .* sees the tokens that it should predict.*{advice}"):
        check_causal(lm, "model.model_type")
    name, value = advice.split(": ")
    repaired = build(model_type, **{**settings, name: {"true": True, "false": False}.get(value, value)})
    check_causal(repaired, "model.model_type")


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        *((name, {**settings, "vocab_size": 300}) for name, settings in TINY_MODELS.items()),
        ("mixtral", MOE),
        ("mamba", MAMBA),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_causal_models_pass_in_any_precision(model_type, settings, dtype):
    lm = build(model_type, **settings).to(dtype).train()
    check_causal(lm, "model.model_type")
    assert lm.training
    assert lm.dtype == dtype


def test_a_leak_is_found_in_half_precision_too():
    with pytest.raises(ConfigError, match="sees the tokens"):
        check_causal(build("bert", **BERT).to(torch.bfloat16), "MODEL_DIR")


def test_a_leak_between_neighbours_only_is_found():
    """As where attention is bidirectional in short windows."""
    lm = build("gpt2", **TINY_MODELS["gpt2"], vocab_size=300)

    def look_ahead(_module, _given, output):
        pairs = output.view(output.size(0), -1, 2, output.size(-1))
        return pairs.flip(2).reshape(output.shape) * 0.1 + output

    lm.transformer.drop.register_forward_hook(look_ahead)
    with pytest.raises(ConfigError, match="sees the tokens"):
        check_causal(lm, "model.model_type")


def test_a_leak_in_long_texts_only_is_found():
    """As in block-sparse attention, which begins where a text is long enough."""
    lm = build("gpt2", **{**TINY_MODELS["gpt2"], "n_positions": 256}, vocab_size=300)

    def mix_if_long(_module, _given, output):
        return output + 0.1 * output.mean(dim=1, keepdim=True) if output.size(1) > 100 else output

    lm.transformer.drop.register_forward_hook(mix_if_long)
    with pytest.raises(ConfigError, match="sees the tokens"):
        check_causal(lm, "model.model_type")


def test_block_sparse_attention_is_refused():
    settings = {**BERT, "max_position_embeddings": 1024, "is_decoder": True, "block_size": 16, "num_random_blocks": 1}
    with pytest.raises(ConfigError, match="sees the tokens"):
        check_causal(build("big_bird", **settings, attention_type="block_sparse"), "model.model_type")
    check_causal(build("big_bird", **settings, attention_type="original_full"), "model.model_type")


def test_whatever_loads_a_causal_model_tries_it(tmp_path):
    build("bert", **BERT).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"MODEL_DIR: .*Set is_decoder to true in its config\.json"):
        pretrained_lm(str(tmp_path), "MODEL_DIR")
    for config in (
        ModelConfig(path_or_name=str(tmp_path), from_scratch=False),
        ModelConfig(path_or_name=str(tmp_path)),
        ModelConfig(model_type="bert", config_kwargs=BERT),
    ):
        with pytest.raises(ConfigError, match=r"model\.config_kwargs\.is_decoder: true"):
            load_lm(config, tiny_tokenizer(), 32, 0)
    repaired = ModelConfig(path_or_name=str(tmp_path), from_scratch=False, config_kwargs={"is_decoder": True})
    load_lm(repaired, tiny_tokenizer(), 32, 0)


def test_a_model_whose_own_code_fails_on_text_is_an_error_of_one_line():
    """A rotary dimension that does not fit the heads is only found by running the model."""
    lm = build("gpt2", **TINY_MODELS["gpt2"], vocab_size=300)
    lm.transformer.h[0].attn.c_proj = torch.nn.Linear(3, 16)
    with pytest.raises(
        ConfigError, match=r"GPT2LMHeadModel cannot be run on plain text: .*Change model\.config_kwargs"
    ):
        check_causal(lm, "model.model_type")


@pytest.mark.parametrize("model_type", ["roberta", "camembert"])
def test_models_that_count_positions_without_padding_can_be_built(model_type):
    settings = {key: value for key, value in BERT.items() if key != "vocab_size"}
    config = ModelConfig(model_type=model_type, config_kwargs={**settings, "is_decoder": True})
    lm = load_lm(config, tiny_tokenizer(), 32, 0)
    embeddings = lm.get_input_embeddings()
    assert embeddings.weight[0].norm() > 0
    assert embeddings.padding_idx is None
    assert lm(torch.tensor([[0, 5, 6]])).logits.isfinite().all()


def test_trying_changes_nothing():
    lm = tiny_lm("gpt2", tiny_tokenizer())
    state = torch.get_rng_state()
    check_causal(lm, "model.model_type")
    assert torch.equal(torch.get_rng_state(), state)
    assert not lm.transformer.wte._forward_pre_hooks
    assert not lm.lm_head._forward_pre_hooks
