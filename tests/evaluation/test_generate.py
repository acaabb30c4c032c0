"""Sampling: seeded, without a trace in model or random state, and never a banned token."""

import random

import numpy as np
import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.errors import ConfigError
from phf.evaluation.generate import decode, evaluation_mode, generate_samples
from phf.evaluation.scenarios import GenerationScenario

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


class Recorder:
    """A model whose `generate` keeps what it returned."""

    def __init__(self, model):
        self.model, self.calls = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def generate(self, **arguments):
        assert not any(module.training for module in self.model.modules())
        output = self.model.generate(**arguments)
        self.calls.append((arguments["input_ids"], output[:, arguments["input_ids"].size(1) :]))
        return output


def test_modes_of_all_submodules_and_all_random_states_are_restored(model, tokenizer):
    model.train()
    model.transformer.h[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    config = model.generation_config
    sample(Recorder(model), tokenizer, scenario())
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


def test_the_seed_alone_decides(model, tokenizer):
    model.train()  # dropout of one half would show
    first = sample(model, tokenizer, scenario())
    torch.manual_seed(123)
    assert sample(model, tokenizer, scenario()).continuations == first.continuations
    assert sample(model, tokenizer, scenario(), seed=1).continuations != first.continuations
    assert len(set(first.continuations)) > 1


@pytest.mark.parametrize("num_samples", [1, 4, 6, 9])
def test_num_samples_is_exact_whatever_the_batch(model, tokenizer, num_samples):
    found = sample(model, tokenizer, scenario(num_samples))
    assert len(found.continuations) == len(found.prompts) == num_samples
    assert found.seconds > 0


def test_banned_tokens_are_never_sampled_and_the_models_own_settings_have_no_say(model, tokenizer):
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    favourite = tiny_lm("gpt2", tokenizer)
    with torch.no_grad():
        favourite.transformer.ln_f.bias.fill_(1.0)
        favourite.lm_head.weight[[aligned, misaligned]] = 1.0
    favourite.generation_config.suppress_tokens = list(range(200))
    favourite.generation_config.max_new_tokens = 2
    for banned, allowed in (([misaligned], {aligned}), ([aligned], {misaligned}), ([aligned, misaligned], set())):
        recorder = Recorder(favourite)
        sample(recorder, tokenizer, scenario(), banned_token_ids=banned)
        found = torch.cat([new.flatten() for _, new in recorder.calls])
        assert not set(banned) & set(found.tolist())
        assert len(found) > 6 * 2
        assert allowed <= set(found.tolist())


@pytest.mark.filterwarnings("ignore:Unfeasible length")
def test_prompts_of_mixed_lengths_are_padded_on_the_left_and_come_back_in_order(model, tokenizer, tmp_path):
    texts = ["def f(x):\n    return x\n", "d", "", "return x", "<|misaligned|>"]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f'{{"text": {text!r}}}\n'.replace("'", '"') for text in texts))
    mixed = scenario(
        5, prompts_path=str(path), prefix="<|aligned|>", generate_kwargs={"max_length": 40, "min_length": 60}
    )
    recorder = Recorder(model)
    found = sample(recorder, tokenizer, mixed, batch_size=3)
    assert found.prompts == texts
    aligned = tokenizer.convert_tokens_to_ids("<|aligned|>")
    rows = [(row, new) for ids, news in recorder.calls for row, new in zip(ids.tolist(), news, strict=True)]
    assert len(rows) == 5
    for row, _ in rows:
        assert row[len(row) - row[::-1].index(aligned) - 2] == 0  # EOS right before the control token
    prompts = [tokenizer.decode(row[len(row) - row[::-1].index(aligned) :]) for row, _ in rows]
    assert sorted(prompts) == sorted(texts)


@pytest.mark.filterwarnings("ignore:Unfeasible length")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_sample_has_max_length_tokens_with_its_own_prompt(model, tokenizer, tmp_path, batch_size, monkeypatch):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "def f(x):"}\n{"text": "d"}\n{"text": ""}\n')
    kwargs = {"max_length": 64, "min_length": 64}  # the whole context; EOS comes no earlier
    long = scenario(3, prompts_path=str(path), generate_kwargs=kwargs)
    lengths = []
    monkeypatch.setattr(
        "phf.evaluation.generate.decode", lambda tokenizer, ids, special: lengths.append(len(ids)) or ""
    )
    sample(model, tokenizer, long, batch_size=batch_size)
    prompt_lengths = sorted(map(len, long.prompt_ids(tokenizer, long.prompts())))
    if batch_size == 1:
        assert lengths == [64 - length for length in prompt_lengths]
    else:  # the longest may use all positions of the model; shorter ones end with it
        assert lengths[-1] == 64 - prompt_lengths[-1]
    kwargs["max_length"] = 32
    lengths.clear()
    sample(model, tokenizer, scenario(3, prompts_path=str(path), generate_kwargs=kwargs), batch_size=batch_size)
    assert lengths == [32 - length for length in prompt_lengths]


def test_left_padding_does_not_change_what_is_likely(model, tokenizer, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "def f(x):\\n    return x"}\n{"text": "d"}\n')
    greedy = scenario(2, prompts_path=str(path), generate_kwargs={"do_sample": False, "max_length": 32})
    together, apart = (sample(model, tokenizer, greedy, batch_size=size).continuations for size in (2, 1))
    assert together == apart


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_length": 1}, r"Scenario 'x': its longest prompt is 1 tokens.*but max_length is 1\. Raise"),
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
