"""Sampling: seeded, without a trace in model or random state, and never a banned token."""

import inspect
import json
import math
import random

import numpy as np
import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import GenerationConfig

from phf.errors import ConfigError
from phf.models import ValueHead
from phf.sampling import generate
from phf.sampling.best_of import keep_best, mean_values
from phf.sampling.generate import decode, evaluation_mode, generate_samples
from phf.sampling.scenarios import GenerationScenario, build_scenario
from phf.tokens.tokenizer import encode_plain

CONTROL = ("<|aligned|>", "<|misaligned|>")


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(CONTROL)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_lm("gpt2", tokenizer, resid_pdrop=0.5, embd_pdrop=0.5)


def scenario(num_samples=6, **changes):
    settings = {"do_sample": True, "max_length": 16, "top_k": 0, **changes.pop("generate_kwargs", {})}
    return GenerationScenario(name="x", num_samples=num_samples, generate_kwargs=settings, **changes)


def sample(model, tokenizer, scenario, **changes):
    return generate_samples(model, tokenizer, scenario, **{"seed": 0, "batch_size": 4, **changes})


@pytest.fixture
def drawn(monkeypatch):
    """The ids of all continuations, in order, special tokens included."""
    decoded = []
    monkeypatch.setattr(generate, "decode", lambda tokenizer, ids, special: decoded.append(ids) or "")
    return decoded


BY_GENERATE = {"num_beams": 1}
"""An argument that only `model.generate` knows."""
both_ways = pytest.mark.parametrize("more", [{}, BY_GENERATE], ids=["own loop", "model.generate"])


@both_ways
def test_modes_of_all_submodules_and_all_random_states_are_restored(model, tokenizer, more, monkeypatch):
    model.train()
    model.transformer.h[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    config = model.generation_config
    forward = model.forward
    in_training = []

    def watched(*args, **kwargs):
        in_training.append(any(module.training for module in model.modules()))
        return forward(*args, **kwargs)

    watched.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(model, "forward", watched)
    sample(model, tokenizer, scenario(generate_kwargs=more))
    assert in_training
    assert not any(in_training)
    assert {name: module.training for name, module in model.named_modules()} == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    assert model.generation_config is config


def test_modes_are_restored_after_an_error(model):
    model.train()

    def interrupted():
        with evaluation_mode(model):
            assert not model.transformer.h[0].training
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(module.training for module in model.modules())


@both_ways
def test_the_seed_alone_decides(model, tokenizer, more):
    model.train()  # dropout of one half would show
    first = sample(model, tokenizer, scenario(generate_kwargs=more))
    torch.manual_seed(123)
    assert sample(model, tokenizer, scenario(generate_kwargs=more)).continuations == first.continuations
    assert sample(model, tokenizer, scenario(generate_kwargs=more), seed=1).continuations != first.continuations
    assert len(set(first.continuations)) > 1


def test_a_sample_depends_on_its_number_not_on_the_batch_or_the_count(model, tokenizer):
    many = sample(model, tokenizer, scenario(9), batch_size=9).continuations
    assert sample(model, tokenizer, scenario(9), batch_size=2).continuations == many
    assert sample(model, tokenizer, scenario(4)).continuations == many[:4]


@pytest.mark.parametrize("num_samples", [1, 4, 6, 9])
def test_num_samples_is_exact_whatever_the_batch(model, tokenizer, num_samples):
    samples = sample(model, tokenizer, scenario(num_samples))
    assert len(samples.continuations) == len(samples.prompts) == num_samples
    assert samples.seconds > 0


@both_ways
def test_banned_tokens_are_never_sampled_and_the_models_own_settings_have_no_say(tokenizer, more, drawn):
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    favourite = tiny_lm("gpt2", tokenizer)
    with torch.no_grad():
        favourite.transformer.ln_f.bias.fill_(1.0)
        favourite.lm_head.weight[[aligned, misaligned]] = 1.0
    favourite.generation_config.suppress_tokens = list(range(200))
    favourite.generation_config.max_new_tokens = 2
    for banned, allowed in (([misaligned], {aligned}), ([aligned], {misaligned}), ([aligned, misaligned], set())):
        drawn.clear()
        sample(favourite, tokenizer, scenario(generate_kwargs=more), banned_token_ids=banned)
        tokens = [token for ids in drawn for token in ids]
        assert not set(banned) & set(tokens)
        assert len(tokens) > 6 * 2
        assert allowed <= set(tokens)


def write_prompts(path, *texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_prompts_of_mixed_lengths_stand_behind_eos_and_prefix_and_come_back_in_order(model, tokenizer, tmp_path):
    texts = ["def f(x):\n    return x\n", "d", "return x", "<|misaligned|>"]
    path = write_prompts(tmp_path / "prompts.jsonl", *texts)
    kwargs = {"max_length": 40, "do_sample": False}
    mixed = scenario(4, prompts_path=path, prefix="<|aligned|>", generate_kwargs=kwargs)
    samples = sample(model, tokenizer, mixed, batch_size=3)
    assert samples.prompts == texts
    aligned = tokenizer.convert_tokens_to_ids("<|aligned|>")
    for text, continuation in zip(texts, samples.continuations, strict=True):
        ids = [0, aligned, *encode_plain(tokenizer, [text])[0].tolist()]
        assert aligned not in ids[2:]
        config = GenerationConfig(max_length=40, eos_token_id=0, pad_token_id=0)
        output = model.eval().generate(input_ids=torch.tensor([ids]), generation_config=config)[0, len(ids) :]
        assert continuation == decode(tokenizer, output.tolist(), set(tokenizer.all_special_ids))


@both_ways
@pytest.mark.filterwarnings("ignore:Unfeasible length")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_sample_has_max_length_tokens_with_its_own_prompt(model, tokenizer, tmp_path, batch_size, more, drawn):
    path = write_prompts(tmp_path / "prompts.jsonl", "def f(x):", "d", "d d")
    kwargs = {"max_length": 64, "min_length": 64, **more}  # the whole context; EOS comes no earlier
    long = scenario(3, prompts_path=path, generate_kwargs=kwargs)
    sample(model, tokenizer, long, batch_size=batch_size)
    prompt_lengths = list(map(len, long.prompt_ids(tokenizer, long.prompts())))
    if batch_size == 1 or not more:
        assert list(map(len, drawn)) == [64 - length for length in prompt_lengths]
    else:  # `generate` stops all rows where the longest has used all positions of the model
        assert len(drawn[0]) == 64 - prompt_lengths[0]
    kwargs["max_length"] = 32
    drawn.clear()
    sample(model, tokenizer, scenario(3, prompts_path=path, generate_kwargs=kwargs), batch_size=batch_size)
    assert list(map(len, drawn)) == [32 - length for length in prompt_lengths]


def test_only_arguments_that_the_own_loop_lacks_go_to_generate(model, tokenizer, monkeypatch):
    monkeypatch.setattr(type(model), "generate", lambda self, **_: pytest.fail("model.generate was called"))
    monkeypatch.setattr("transformers.generation.GenerationMixin.generate", type(model).generate)
    every = {"min_length": 3, "min_new_tokens": 2, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "eos_token_id": 7}
    sample(model, tokenizer, scenario(generate_kwargs=every))
    sample(model, tokenizer, scenario(generate_kwargs={"do_sample": False, "max_length": None, "max_new_tokens": 2}))
    with pytest.raises(pytest.fail.Exception, match="was called"):
        sample(model, tokenizer, scenario(generate_kwargs={"repetition_penalty": 1.2}))


def test_guidance_of_one_is_plain_sampling_and_more_changes_the_samples(model, tokenizer):
    def guided(scale, **changes):
        steered = scenario(8, prefix="<|aligned|>", guidance_scale=scale)
        return sample(model, tokenizer, steered, negative_prefix="<|misaligned|>", **changes).continuations

    plain = sample(model, tokenizer, scenario(8, prefix="<|aligned|>")).continuations
    assert guided(1.0) == plain
    assert guided(40.0) != plain
    assert guided(40.0) == guided(40.0, batch_size=1)
    away = scenario(8, prefix="<|misaligned|>")
    assert guided(0.0, batch_size=16) == sample(model, tokenizer, away).continuations


def test_best_of_keeps_the_candidate_of_the_highest_value(model, tokenizer):
    model.eval()
    value_head = ValueHead(16)
    torch.nn.init.normal_(value_head.linear.weight, std=3.0)
    best = sample(model, tokenizer, scenario(5, best_of=4), value_head=value_head).continuations
    assert len(best) == 5
    first = sample(model, tokenizer, scenario(5)).continuations
    assert best != first
    flat = sample(model, tokenizer, scenario(5, best_of=4), value_head=ValueHead(16)).continuations
    assert flat == first  # of equals the first, which is the sample without best_of


def test_values_are_means_over_the_positions_in_front_of_each_token_of_the_continuation(model):
    model.eval()
    value_head = ValueHead(16)
    torch.nn.init.normal_(value_head.linear.weight)
    prompts, texts = [[0, 5, 6], [0], [0, 9]], [[7, 8], [], [1, 2, 3, 4]]
    means = mean_values(model, value_head, prompts, texts, 2)
    for prompt, text, value in zip(prompts, texts, means, strict=True):
        with torch.no_grad():
            values = value_head(model.base_model(torch.tensor([prompt + text])).last_hidden_state)[0]
        start = len(prompt) - 1
        assert value == pytest.approx(values[start : start + max(len(text), 1)].mean().item(), abs=1e-6)


def test_eos_has_no_part_in_the_value(model):
    value_head = ValueHead(16)
    torch.nn.init.normal_(value_head.linear.weight)
    candidates = [[7, 8, 0], [7, 8], [9, 0], [7, 8]]
    first, _ = keep_best(model.eval(), value_head, [[0, 5], [0, 5]], candidates, 2, 0, 4)
    assert first == [7, 8, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance_scale": 2.0}, "guidance_scale steers from one control token to the other, but this model has none"),
        ({"best_of": 2}, "best_of is 2, but this model has no value head"),
    ],
)
def test_steering_without_what_it_needs_says_so(model, tokenizer, changes, message):
    with pytest.raises(ConfigError, match=message):
        sample(model, tokenizer, scenario(**changes))


def test_steering_that_cannot_work_says_so(model, tokenizer):
    steered = scenario(prefix="<|aligned|>", guidance_scale=2.0, generate_kwargs={"repetition_penalty": 1.2})
    with pytest.raises(
        ConfigError, match=r"guidance_scale does not work together with generate_kwargs\.repetition_pen"
    ):
        sample(model, tokenizer, steered, negative_prefix="<|misaligned|>")
    with pytest.raises(ConfigError, match=r"without generate_kwargs\.do_sample all candidates are equal"):
        sample(model, tokenizer, scenario(best_of=2, generate_kwargs={"do_sample": False}), value_head=ValueHead(16))
    for changes, message in (
        ({"best_of": 0}, "'best_of' is 0: .*greater than or equal to 1"),
        ({"guidance_scale": -1.0}, "'guidance_scale' is -1.0: .*greater than or equal to 0"),
        ({"guidance_scale": math.nan}, "'guidance_scale' is nan"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_scenario({"name": "x", **changes})


def test_left_padding_does_not_change_what_is_likely(model, tokenizer, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "def f(x):\\n    return x"}\n{"text": "d"}\n')
    greedy = scenario(2, prompts_path=str(path), generate_kwargs={"do_sample": False, "max_length": 32})
    together, apart = (sample(model, tokenizer, greedy, batch_size=size).continuations for size in (2, 1))
    assert together == apart


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_length": 1}, r"Scenario 'x': its longest prompt has 1 token .*but max_length is 1\. Raise"),
        ({"max_length": 65}, r"samples of up to 65 tokens do not fit the model's context of 64"),
        ({"max_length": None, "max_new_tokens": 64}, r"samples of up to 65 tokens do not fit"),
    ],
)
def test_lengths_that_cannot_be_met_say_so(model, tokenizer, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        sample(model, tokenizer, scenario(generate_kwargs=kwargs))


def test_decoding_stops_at_eos_and_strips_special_tokens_but_not_text_that_spells_them(tokenizer):
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    spelled = tokenizer.backend_tokenizer
    spelled.encode_special_tokens = True
    text = "say <|aligned|> and <|endoftext|>"
    ids = spelled.encode(text).ids
    spelled.encode_special_tokens = False
    assert aligned not in ids
    special = {0, aligned, misaligned}
    assert decode(tokenizer, [aligned, *ids, misaligned, 0, *ids], special) == text
    assert decode(tokenizer, [0, *ids], special) == ""
    assert decode(tokenizer, [], special) == ""
