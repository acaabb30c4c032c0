"""Samples do not depend on their batch: models that read padding, or mix up rows, are found by trying."""

import json

import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.config import ModelConfig
from phf.models import load_lm
from phf.sampling import padding
from phf.sampling.generate import generate_samples
from phf.sampling.padding import Together, batches, runs_together
from phf.sampling.scenarios import GenerationScenario

RECURRENT_GEMMA = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "lru_width": 16,
    "attention_window_size": 16,
}
RWKV = {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}


def model_of(model_type, settings):
    tokenizer = tiny_tokenizer(vocab_size=270)
    lm = load_lm(ModelConfig(model_type=model_type, config_kwargs=settings), tokenizer, 32, 0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return lm, tokenizer


@pytest.fixture(scope="module")
def recurrent():
    return model_of("recurrent_gemma", RECURRENT_GEMMA)


@pytest.fixture(scope="module")
def mixing():
    """transformers' RWKV lets the rows of a batch see each other from the second new token on."""
    return model_of("rwkv", RWKV)


def prompts(folder):
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("def f(x):\n    return", "d", "x = 1")))
    return str(path)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("in_own_loop", [True, False])
def test_plain_models_run_together_whatever_their_lengths(model_type, in_own_loop):
    lm = tiny_lm(model_type, tiny_tokenizer()).eval()
    assert runs_together(lm, in_own_loop=in_own_loop) is Together.ANY


@pytest.mark.parametrize(("name", "expected"), [("recurrent", Together.ONE_LENGTH), ("mixing", Together.ALONE)])
def test_models_whose_rows_depend_on_the_batch_are_found(name, expected, request):
    lm, _ = request.getfixturevalue(name)
    assert runs_together(lm, in_own_loop=False) is expected


@pytest.mark.parametrize("name", ["recurrent", "mixing"])
@pytest.mark.parametrize("do_sample", [False, True])
def test_their_samples_are_those_of_each_prompt_alone(name, do_sample, request, tmp_path):
    lm, tokenizer = request.getfixturevalue(name)
    kwargs = {"do_sample": do_sample, "max_new_tokens": 8, "top_k": 0, "min_new_tokens": 4}
    scenario = GenerationScenario(
        name="s", num_samples=6, prompts_path=prompts(tmp_path), samples_per_prompt=2, generate_kwargs=kwargs
    )
    one, many = (generate_samples(lm, tokenizer, scenario, seed=3, batch_size=size).continuations for size in (1, 6))
    assert one == many
    assert (len(set(many[:2])) == 2) == do_sample


def test_a_model_is_tried_once(recurrent, monkeypatch):
    lm, _ = recurrent
    runs_together(lm, in_own_loop=False)
    monkeypatch.setattr(padding, "_try", lambda *_: pytest.fail("tried again"))
    runs_together(lm, in_own_loop=False)


def test_the_models_generation_config_is_left_alone():
    lm = tiny_lm("gpt2", tiny_tokenizer()).eval()
    before = lm.generation_config
    runs_together(lm, in_own_loop=False)
    assert lm.generation_config is before


def test_batches_hold_rows_that_may_go_together():
    lengths = [3, 1, 3, 2, 1, 3]
    assert list(batches(lengths, 4, Together.ANY)) == [[1, 4, 3, 0], [2, 5]]
    assert list(batches(lengths, 2, Together.ONE_LENGTH)) == [[1, 4], [3], [0, 2], [5]]
    assert list(batches(lengths, 4, Together.ALONE)) == [[1], [4], [3], [0], [2], [5]]


def test_a_prompt_of_one_token_starts_from_nothing_that_another_text_left():
    lm, tokenizer = model_of("recurrent_gemma", RECURRENT_GEMMA)
    kwargs = {"do_sample": True, "max_new_tokens": 8, "top_k": 0, "min_new_tokens": 8}
    scenario = GenerationScenario(name="s", num_samples=3, generate_kwargs=kwargs)  # of EOS alone
    first, second = (generate_samples(lm, tokenizer, scenario, seed=0, batch_size=2).continuations for _ in range(2))
    assert first == second
    assert generate_samples(lm, tokenizer, scenario, seed=0, batch_size=1).continuations == first
