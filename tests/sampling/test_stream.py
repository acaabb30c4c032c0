"""Samples token by token are those that are drawn in one go."""

import threading
from itertools import pairwise

import pytest
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer

from phf.errors import ConfigError, ModelError
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.stream import stream_sample

TOKENS = ["<|aligned|>", "<|misaligned|>"]
SAMPLED = {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "top_k": 40, "max_new_tokens": 24}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(TOKENS)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_lm("gpt2", tokenizer, initializer_range=0.3).eval()


class Prompted(GenerationScenario):
    text: str = "def f(x"

    def prompts(self):
        return [self.text]


def scenario(**settings):
    return Prompted(**{"name": "one", "num_samples": 1, "generate_kwargs": SAMPLED, **settings})


def both(model, tokenizer, one, seed=3):
    """(every text of the stream, the text drawn in one go)"""
    prompting = conditional_prompting()
    steering = {
        "banned_token_ids": prompting.banned_ids(tokenizer, one.prefix),
        "negative_prefix": prompting.away_from(one.prefix),
    }
    texts = list(stream_sample(model, tokenizer, one, seed=seed, **steering))
    drawn = generate_samples(model, tokenizer, one, seed=seed, batch_size=1, **steering)
    return texts, drawn.continuations[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"prefix": "<|aligned|>"},
        {"prefix": "<|misaligned|>", "guidance_scale": 2.5},
        {"prefix": "<|aligned|>", "guidance_scale": 1},
        {"text": "", "generate_kwargs": {**SAMPLED, "min_length": 20}},
        {"generate_kwargs": {"do_sample": False, "max_length": 30}},
        {"text": "x = '<|misaligned|><|endoftext|>'"},
    ],
)
def test_the_last_text_is_the_sample_and_each_one_continues_the_one_before(model, tokenizer, settings):
    for seed in range(2):
        texts, drawn = both(model, tokenizer, scenario(**settings), seed)
        assert texts[-1] == drawn
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_a_model_that_only_generate_can_run_is_streamed_too(model, tokenizer, monkeypatch):
    own = both(model, tokenizer, scenario(prefix="<|aligned|>"))
    monkeypatch.setattr("phf.sampling.settings.runs_own_loop", lambda model: False)
    texts, drawn = both(model, tokenizer, scenario(prefix="<|aligned|>"))
    assert len(texts) > 3
    assert (texts, drawn) == own


@pytest.mark.parametrize("in_own_loop", [True, False])
def test_nothing_is_drawn_after_it_is_closed(model, tokenizer, monkeypatch, in_own_loop):
    monkeypatch.setattr("phf.sampling.settings.runs_own_loop", lambda model: in_own_loop)
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(threading.get_ident()))
    try:
        texts = stream_sample(model, tokenizer, scenario(), seed=1)
        next(texts)
        texts.close()
        ended_at = len(calls)
    finally:
        handle.remove()
    assert 1 <= ended_at < SAMPLED["max_new_tokens"]
    assert not [
        thread for thread in threading.enumerate() if thread.ident in calls and thread is not threading.current_thread()
    ]


def test_gradients_stay_as_they_are_between_two_texts(model, tokenizer):
    import torch

    texts = stream_sample(model, tokenizer, scenario(), seed=1)
    next(texts)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_what_cannot_be_sampled_token_by_token_is_refused(model, tokenizer):
    with pytest.raises(ConfigError, match=r"generate_kwargs\.num_beams"):
        next(stream_sample(model, tokenizer, scenario(generate_kwargs={**SAMPLED, "num_beams": 2}), seed=1))
    with pytest.raises(ConfigError, match="context of 64"):
        next(stream_sample(model, tokenizer, scenario(text="x" * 200), seed=1))


def test_a_model_without_finite_logits_is_refused(tokenizer):
    broken = tiny_lm("gpt2", tokenizer).eval()
    broken.transformer.ln_f.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        list(stream_sample(broken, tokenizer, scenario(), seed=1))
