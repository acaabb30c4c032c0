"""Every setting of the `model` section is applied, or refused by name."""

import copy
import json

import pytest
import torch
from tests.models.test_load import from_folder, saved
from tests.tiny import TINY_MODELS, tiny_tokenizer
from tokenizers import Tokenizer
from transformers import AddedToken, AutoTokenizer, PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

from phf.config import ModelConfig, TokenizerConfig
from phf.errors import ConfigError
from phf.feedback import NO_CONTROL_TOKENS, ControlTokens
from phf.models import load_lm, load_tokenizer
from phf.models.building.architecture import read_architecture
from phf.models.building.build import check_architecture
from phf.tokens.tokenizer import prepare_tokenizer

CONTROL = ("<|aligned|>", "<|misaligned|>")
TOKENS = ControlTokens(CONTROL)
GPT2 = TINY_MODELS["gpt2"]


def from_scratch(model_type="gpt2", **settings):
    return ModelConfig(model_type=model_type, **{"config_kwargs": TINY_MODELS[model_type], **settings})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("model_type", ["gpt2", "gemma2"])
def test_from_scratch_is_in_float32_whatever_the_named_configuration_stores(model_type, dtype, tmp_path):
    folder = saved(tmp_path / "m", model_type, dtype=dtype)
    lm = load_lm(ModelConfig(path_or_name=folder), tiny_tokenizer(), 32, 0)
    assert {parameter.dtype for parameter in lm.parameters()} == {torch.float32}
    asked = load_lm(ModelConfig(path_or_name=folder, model_kwargs={"dtype": "auto"}), tiny_tokenizer(), 32, 0)
    assert asked.dtype == dtype


@pytest.mark.parametrize(
    "settings",
    [
        {"model_kwargs": {"dtype": "bfloat16"}},
        {"model_kwargs": {"torch_dtype": "torch.bfloat16"}},
        {"config_kwargs": {**GPT2, "dtype": "bfloat16"}},
    ],
)
def test_a_precision_that_is_asked_for_is_had(settings):
    assert load_lm(from_scratch(**settings), tiny_tokenizer(), 32, 0).dtype == torch.bfloat16


def test_arguments_and_settings_in_model_kwargs_are_applied_from_scratch_too(tmp_path):
    given = {"attn_implementation": "eager", "resid_pdrop": 0.5}
    for config in (
        from_scratch(model_kwargs=given),
        ModelConfig(path_or_name=saved(tmp_path / "m"), model_kwargs=given),
        from_folder(tmp_path / "m", model_kwargs=given),
    ):
        lm_config = load_lm(config, tiny_tokenizer(), 32, 0).config
        assert lm_config._attn_implementation == "eager"
        assert lm_config.resid_pdrop == 0.5


def test_a_padded_vocabulary_is_honoured_and_a_small_one_refused():
    tokenizer = tiny_tokenizer(CONTROL)
    padded = from_scratch(config_kwargs={**GPT2, "vocab_size": 512})
    assert load_lm(padded, tokenizer, 32, 0, TOKENS).get_output_embeddings().weight.size(0) == 512
    base = from_scratch(config_kwargs={**GPT2, "vocab_size": len(tokenizer) - 2})
    assert load_lm(base, tokenizer, 32, 0, TOKENS).get_input_embeddings().weight.size(0) == len(tokenizer)
    with pytest.raises(ConfigError, match=r"config_kwargs\.vocab_size is 100, but the tokenizer has ids up to \d+"):
        load_lm(from_scratch(config_kwargs={**GPT2, "vocab_size": 100}), tokenizer, 32, 0)


@pytest.mark.parametrize("model_type", ["bart", "marian", "whisper"])
def test_the_decoder_of_an_encoder_decoder_family_fits_its_tokenizer_too(model_type):
    size = {"d_model": 16, "decoder_layers": 1, "decoder_ffn_dim": 16, "decoder_attention_heads": 2}
    tokenizer = tiny_tokenizer()
    lm = load_lm(ModelConfig(model_type=model_type, config_kwargs=size), tokenizer, 32, 0)
    assert lm.get_input_embeddings().weight.size(0) == len(tokenizer)
    assert lm.config.eos_token_id == tokenizer.eos_token_id


class WithHoles:
    """A tokenizer of ids 0 to 9, 20, and two control tokens at 30 and 31."""

    eos_token_id = 20

    def get_vocab(self):
        return {**{str(i): i for i in [*range(10), 20]}, CONTROL[0]: 30, CONTROL[1]: 31}

    @property
    def added_tokens_decoder(self):
        return {30: AddedToken(CONTROL[0], special=True), 31: AddedToken(CONTROL[1], special=True)}


@pytest.mark.parametrize("control_tokens", [NO_CONTROL_TOKENS, TOKENS])
def test_a_vocabulary_with_holes_has_rows_up_to_its_largest_id(control_tokens):
    lm = load_lm(from_scratch(), WithHoles(), 32, 0, control_tokens)
    assert lm.get_input_embeddings().weight.size(0) == lm.config.vocab_size == 32
    assert lm(torch.tensor([[20, 30, 31, 9]])).logits.shape == (1, 4, 32)
    if control_tokens:
        weight = lm.get_input_embeddings().weight
        assert (weight[30] - weight[[*range(10), 20]].mean(dim=0)).abs().max() < 0.06  # noise of 0.01


def test_the_bias_of_new_tokens_is_the_mean_of_the_old(tmp_path):
    lm = PhiForCausalLM(
        PhiConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    with torch.no_grad():
        lm.lm_head.bias.copy_(torch.linspace(-8, -4, 300))
    lm.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer(CONTROL)
    loaded = load_lm(from_folder(tmp_path), tokenizer, 32, 0, TOKENS)
    old = len(tokenizer) - 2
    assert torch.allclose(loaded.lm_head.bias[:old], torch.linspace(-8, -4, 300)[:old])
    assert torch.allclose(loaded.lm_head.bias[old : old + 2], torch.linspace(-8, -4, 300)[:old].mean())


def test_tokens_without_a_row_in_the_pretrained_model_are_reported_and_start_at_the_mean(tmp_path, caplog):
    folder = saved(tmp_path / "m")
    larger = tiny_tokenizer()
    larger.add_tokens([f"word{i}" for i in range(50)])
    lm = load_lm(from_folder(folder), larger, 32, 0)
    assert "50 tokens of the tokenizer start at the mean" in caplog.text
    weight = lm.get_input_embeddings().weight
    assert (weight[-50:] - weight[:-50].mean(dim=0)).std().item() == pytest.approx(0.01, rel=0.2)


def test_an_architecture_that_insists_on_a_padding_token_trains_eos(tmp_path):
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    lm = load_lm(ModelConfig(model_type="modernbert-decoder", config_kwargs=settings), tiny_tokenizer(), 32, 0)
    embeddings = lm.get_input_embeddings()
    assert embeddings.weight[0].norm() > 0
    assert embeddings.padding_idx is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config_kwargs": {"resid_pdropp": 0.5}}, r"model\.config_kwargs\.resid_pdropp .*Did you mean 'resid_pdrop'"),
        ({"model_kwargs": {"foo": 1}}, r"model\.model_kwargs\.foo is not a setting"),
        ({"model_kwargs": {"atn_implementation": "eager"}}, "Did you mean 'attn_implementation'"),
        ({"model_kwargs": {"attn_implementation": "nonsense"}}, 'attn_implementation: .*"nonsense"` is not supported'),
        ({"model_kwargs": {"attn_implementation": "someone/kernel"}}, "code from the Hub is never run"),
        (
            {"model_kwargs": {"attn_implementation": "flash_attention_2"}},
            r"model_kwargs\.attn_implementation: .*FlashAttention2",
        ),
        ({"model_kwargs": {"dtype": "float8"}}, r"model\.model_kwargs\.dtype is 'float8'\. Did you mean 'float\d+'"),
        ({"model_kwargs": {"dtype": 16}}, r"model\.model_kwargs\.dtype is 16"),
        ({"model_kwargs": {"device_map": "auto"}}, r"model\.model_kwargs\.device_map: training decides"),
        ({"model_kwargs": {"token": "hf_x"}}, "set HF_TOKEN"),
        ({"model_kwargs": {"ignore_mismatched_sizes": True}}, "would be random numbers"),
        ({"config_kwargs": {"n_layer": "two"}}, r"config_kwargs\.n_layer.*expected int"),
        ({"config_kwargs": {"model_type": "llama"}}, r"config_kwargs\.model_type cannot be set"),
        ({"config_kwargs": {"return_dict": False}}, r"config_kwargs\.return_dict cannot be set"),
        ({"config_kwargs": {"activation_function": "gleu"}}, "gleu"),
    ],
)
@pytest.mark.parametrize("source", ["model_type", "folder", "pretrained"])
def test_mistakes_are_found_before_the_data_is_read(settings, message, source, tmp_path):
    where = {"model_type": "gpt2"}
    if source != "model_type":
        where = {"path_or_name": saved(tmp_path / "m"), "from_scratch": source == "folder"}
    with pytest.raises(ConfigError, match=message):
        check_architecture(ModelConfig(**where, **settings), 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "t5"}, "model.model_type 't5': transformers has no causal language model"),
        ({"model_type": "vit"}, "has no causal language model"),
        ({"model_type": "gpt2", "config_kwargs": {"n_embd": 30, "n_head": 4}}, "divisible"),
        ({"model_type": "llama", "config_kwargs": {"hidden_size": 0}}, "cannot build"),
        ({"model_type": "gpt2", "config_kwargs": {"vocab_size": 0}}, "vocab_size is 0"),
        ({"model_type": "gpt2", "config_kwargs": {"n_layer": -1}}, "n_layer is -1; it must not be negative"),
        ({"model_type": "gpt2", "config_kwargs": {"vocab_size": "many"}}, "vocab_size"),
        ({"model_type": "gpt2", "config_kwargs": {"n_positions": 16}}, "context is 16 tokens"),
        ({"model_type": "gpt2", "model_kwargs": {"revision": "main"}}, "revision has no effect without"),
        ({"model_type": "bert", "config_kwargs": {"num_hidden_layers": 1}}, "is_decoder: true"),
    ],
)
def test_models_that_cannot_be_trained_are_found_before_the_data_is_read(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_architecture(ModelConfig(**settings), 32)


def test_shapes_that_do_not_fit_the_checkpoint_are_found_without_reading_it(tmp_path):
    folder = saved(tmp_path / "m")
    with pytest.raises(
        ConfigError, match=r"c_attn\.bias has the shape \[48\] in '.*', but its configuration says \[192\]"
    ):
        check_architecture(from_folder(folder, config_kwargs={"n_embd": 64}), 32)
    lm, warnings = check_architecture(from_folder(folder), 32)
    assert lm.num_parameters() == load_lm(from_folder(folder), tiny_tokenizer(), 32, 0).num_parameters()
    assert warnings == []


def test_what_has_no_effect_is_reported(tmp_path):
    settings = {**GPT2, "eos_token_id": 7}
    (warning,) = read_architecture(from_scratch(config_kwargs=settings)).warnings
    assert warning == (
        "model.config_kwargs.eos_token_id = 7 is ignored: a model from scratch has the ids of its tokenizer."
    )
    named = ModelConfig(path_or_name=saved(tmp_path / "m"), model_kwargs={"use_safetensors": True})
    (warning,) = read_architecture(named).warnings
    assert warning.startswith("model.model_kwargs.use_safetensors is ignored")
    (warning,) = read_architecture(from_folder(tmp_path / "m", model_kwargs={"revision": "v1"})).warnings
    assert warning.startswith("model.model_kwargs.revision is ignored")


def test_the_models_own_tokenizer_comes_from_the_same_place(tmp_path):
    saved(tmp_path / "repo" / "inner")
    config = from_folder(tmp_path / "repo", model_kwargs={"subfolder": "inner"})
    tokenizer = load_tokenizer(TokenizerConfig(), config, list)
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    assert load_lm(config, tokenizer, 32, 0).config.n_embd == GPT2["n_embd"]


def test_control_tokens_of_a_vocabulary_with_holes_keep_their_ids_when_saved(tmp_path):
    tokenizer = tiny_tokenizer()
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    last = max(settings["model"]["vocab"].values())
    end = {"id": last + 20, "content": "<|end|>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    settings["model"]["vocab"]["<|end|>"] = last + 20
    settings["added_tokens"].append({**end, **flags})
    holed = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(settings)), eos_token="<|endoftext|>"
    )
    prepared = prepare_tokenizer(holed, CONTROL)
    assert prepared.convert_tokens_to_ids(list(CONTROL)) == [last + 21, last + 22]
    prepared.save_pretrained(tmp_path)
    for again in (copy.deepcopy(prepared), AutoTokenizer.from_pretrained(tmp_path)):
        assert again.get_vocab() == prepared.get_vocab()
        assert again("x<|aligned|>y").input_ids == prepared("x<|aligned|>y").input_ids


def test_a_number_of_layers_that_cannot_be_meant_is_refused_at_once():
    with pytest.raises(ConfigError, match="99,999,999,999 layers"):
        check_architecture(ModelConfig(model_type="gpt2", config_kwargs={"n_layer": 99_999_999_999}), 32)
