"""Tokenizers and models from their sections: from scratch, pretrained, and with embeddings for control tokens."""

import pytest
import torch
from tests.tiny import PLAIN, TINY_MODELS, conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import ModelConfig, TokenizerConfig
from phf.errors import ConfigError
from phf.models import load_lm, load_tokenizer, pretrained_tokenizer
from phf.models.exporting.export import export_model
from phf.storage.file_list import FILE_LIST
from phf.tokens.tokenizer import encode_plain

CONTROL = ("<|aligned|>", "<|misaligned|>")
CONDITIONAL = conditional_prompting(*CONTROL)
TOKENS = CONDITIONAL.control_tokens


def saved(folder, model_type="gpt2", control_tokens=None, dtype=torch.float32, **settings):
    """A pretrained model with its tokenizer in `folder`."""
    tokenizer = tiny_tokenizer(control_tokens)
    lm = tiny_lm(model_type, tokenizer, **settings).to(dtype)
    export_model(lm, tokenizer, folder, PLAIN if control_tokens is None else CONDITIONAL)
    return str(folder)


def from_folder(folder, **settings):
    return ModelConfig(path_or_name=str(folder), from_scratch=False, **settings)


def test_tokenizer_trained_on_the_corpus_knows_its_control_tokens():
    config = TokenizerConfig(train_from_corpus=300)
    tokenizer = load_tokenizer(config, ModelConfig(model_type="gpt2"), lambda: ["a = 1\n"] * 9, TOKENS)
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    assert (aligned, misaligned) == (len(tokenizer) - 2, len(tokenizer) - 1)
    (ids,) = encode_plain(tokenizer, ["<|aligned|>"])
    assert aligned not in ids


def test_tokenizer_is_named_or_the_models_own(tmp_path):
    folder = saved(tmp_path / "m")
    named = load_tokenizer(TokenizerConfig(path_or_name=folder), ModelConfig(model_type="gpt2"), list)
    own = load_tokenizer(TokenizerConfig(), from_folder(folder), list)
    assert named.get_vocab() == own.get_vocab() == tiny_tokenizer().get_vocab()
    with pytest.raises(ConfigError, match=r"tokenizer\.path_or_name, or set tokenizer\.train_from_corpus"):
        load_tokenizer(TokenizerConfig(), ModelConfig(model_type="gpt2"), list)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_a_model_folder_without_tokenizer_says_so(model_type, tmp_path):
    tiny_lm(model_type, tiny_tokenizer()).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"tokenizer\.path_or_name: '.*' (contains no tokenizer|cannot be loaded)"):
        pretrained_tokenizer(str(tmp_path), "tokenizer.path_or_name")


@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_from_scratch_is_decided_by_the_seed_and_fits_the_tokenizer(model_type):
    tokenizer = tiny_tokenizer(CONTROL)
    first, second, other = (tiny_lm(model_type, tokenizer, seed) for seed in (0, 0, 1))
    weights = [model.get_input_embeddings().weight for model in (first, second, other)]
    assert weights[0].size(0) == len(tokenizer) == first.config.vocab_size
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first.config.eos_token_id == tokenizer.eos_token_id
    assert first(torch.tensor([[1, 2, len(tokenizer) - 1]])).logits.shape == (1, 3, len(tokenizer))


def test_settings_that_follow_from_others_follow_the_given_ones():
    config = tiny_lm("llama", tiny_tokenizer()).config
    assert (config.head_dim, config.num_key_value_heads) == (8, 2)  # 16 / 2 heads; one key head a head
    assert len(tiny_lm("gemma2", tiny_tokenizer()).config.layer_types) == 2
    assert tiny_lm("gpt2", tiny_tokenizer(), hidden_size=32).config.n_embd == 32  # the common name works too


@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_the_embedding_of_eos_is_trained_though_it_pads(model_type, tmp_path):
    """EOS opens each document; torch neither starts nor trains the embedding of a padding token."""
    lm = tiny_lm(model_type, tiny_tokenizer())
    lm.config.pad_token_id = 0
    lm.save_pretrained(tmp_path)
    for model in (
        tiny_lm(model_type, tiny_tokenizer()),
        load_lm(from_folder(tmp_path), tiny_tokenizer(), 32, 0),
    ):
        embeddings = model.get_input_embeddings()
        assert embeddings.weight[0].norm() > 0
        embeddings(torch.tensor([0])).sum().backward()
        assert embeddings.weight.grad[0].abs().sum() > 0


@pytest.mark.parametrize(("model_type", "tied"), [("gpt2", True), ("gpt2", False), ("llama", True), ("llama", False)])
def test_new_embeddings_start_at_the_mean_of_the_old_plus_small_noise(model_type, tied, tmp_path):
    width = {"gpt2": {"n_embd": 512}, "llama": {"hidden_size": 512}}[model_type]
    folder = saved(tmp_path / "m", model_type, tie_word_embeddings=tied, **width)
    tokenizer = tiny_tokenizer(CONTROL)
    lm = load_lm(from_folder(folder), tokenizer, 32, 0, TOKENS)
    weights = [lm.get_input_embeddings().weight, lm.get_output_embeddings().weight]
    assert (weights[0].data_ptr() == weights[1].data_ptr()) == tied
    for weight in weights:
        assert weight.size(0) == len(tokenizer)
        noise = weight[-2:] - weight[:-2].mean(dim=0)
        assert noise.std().item() == pytest.approx(0.01, rel=0.15)  # 1024 draws: a standard error of 2.2%
        assert noise.mean().item() == pytest.approx(0, abs=0.002)
        assert not torch.equal(noise[0], noise[1])
    old = load_lm(from_folder(folder), tiny_tokenizer(), 32, 0)
    assert torch.equal(weights[0][:-2], old.get_input_embeddings().weight)
    assert torch.equal(weights[1][:-2], old.get_output_embeddings().weight)


def test_rows_that_pad_the_vocabulary_are_excluded_from_the_mean(tmp_path):
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer)
    lm.resize_token_embeddings(len(tokenizer) + 30)
    with torch.no_grad():
        lm.get_input_embeddings().weight[len(tokenizer) :] = 1e3
    export_model(lm, tokenizer, tmp_path / "m", PLAIN)
    extended = tiny_tokenizer(CONTROL)
    embeddings = load_lm(from_folder(tmp_path / "m"), extended, 32, 0, TOKENS).get_input_embeddings().weight
    assert embeddings.size(0) == len(tokenizer) + 30
    assert embeddings[len(extended) - 2 : len(extended)].abs().max() < 1


def test_control_tokens_that_the_pretrained_model_knows_are_kept(tmp_path):
    folder = saved(tmp_path / "m", control_tokens=CONTROL)
    tokenizer = load_tokenizer(TokenizerConfig(), from_folder(folder), list, TOKENS)
    before = load_lm(from_folder(folder), tokenizer, 32, 0).get_input_embeddings().weight
    after = load_lm(from_folder(folder), tokenizer, 32, 0, TOKENS).get_input_embeddings().weight
    assert torch.equal(before, after)


def test_pretrained_weights_are_trained_in_float32_whatever_they_were_saved_in(tmp_path):
    folder = saved(tmp_path / "m", dtype=torch.float16)
    assert load_lm(from_folder(folder), tiny_tokenizer(), 32, 0).dtype == torch.float32
    in_half = from_folder(folder, model_kwargs={"dtype": "bfloat16", "value_head_config": {"is_detached": True}})
    assert load_lm(in_half, tiny_tokenizer(), 32, 0).dtype == torch.bfloat16


def test_configuration_of_a_named_model_from_scratch(tmp_path):
    folder = saved(tmp_path / "m")
    config = ModelConfig(path_or_name=folder, config_kwargs={"reorder_and_upcast_attn": True})
    lm = load_lm(config, tiny_tokenizer(), 32, 1)
    assert lm.config.reorder_and_upcast_attn is True
    assert lm.config.n_embd == TINY_MODELS["gpt2"]["n_embd"]
    pretrained = load_lm(from_folder(folder), tiny_tokenizer(), 32, 1)
    assert not torch.equal(lm.get_input_embeddings().weight, pretrained.get_input_embeddings().weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "gtp2"}, r"model.model_type 'gtp2'\. Did you mean 'gpt2'"),
        (
            {"model_type": "gpt2", "config_kwargs": {"n_layers": 2}},
            r"config_kwargs.n_layers is not a setting.*Did you mean 'n_layer'",
        ),
        ({"path_or_name": "no/such", "from_scratch": False}, r"model.path_or_name: 'no/such' cannot be loaded"),
        ({"path_or_name": "no/such"}, r"model.path_or_name: 'no/such' cannot be loaded"),
        (
            {"model_type": "gpt2", "config_kwargs": {**TINY_MODELS["gpt2"], "n_positions": 16}},
            r"seq_length is 32, but the model's context is 16",
        ),
        (
            {"model_type": "gpt2", "model_kwargs": {"trust_remote_code": True}},
            r"code that comes with a model is never run",
        ),
    ],
)
def test_mistakes_name_the_key(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_lm(ModelConfig(**settings), tiny_tokenizer(), 32, 0)


def test_damaged_weights_say_so(tmp_path):
    folder = saved(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match=r"is damaged: model\.safetensors has 7 bytes instead of"):
        load_lm(from_folder(folder), tiny_tokenizer(), 32, 0)
    (tmp_path / "m" / FILE_LIST).unlink()  # a folder of others
    with pytest.raises(ConfigError, match=r"cannot be loaded: Error while deserializing"):
        load_lm(from_folder(folder), tiny_tokenizer(), 32, 0)
