"""The model under attack: how it is prompted, what is scored, and how long a prompt may be."""

import pytest
from tests.redteam.attack import LetterScorer, attack_config, write_model
from tests.tiny import PLAIN, conditional_prompting, tiny_lm, tiny_tokenizer

from phf.errors import ConfigError, CorpusError
from phf.redteam.target import Target, load_target
from phf.scorers import Scorer

CONTROL = ("<|aligned|>", "<|misaligned|>")


class InContextScorer(Scorer):
    """Segments of a document score the number of segments before them, texts 9."""

    def score_texts(self, texts):
        return [9.0] * len(texts)

    def score_document(self, segments):
        return [float(i) for i in range(len(segments))]


@pytest.fixture(scope="module")
def lm():
    tokenizer = tiny_tokenizer()
    return tiny_lm("gpt2", tokenizer), tokenizer


@pytest.mark.parametrize(
    ("scored_text", "expected"),
    [("continuation", [0.5, None, None]), ("with_prompt", [0.75, 1.0, None]), ("in_context", [0.5, None, None])],
)
def test_what_is_scored(lm, scored_text, expected):
    """LetterScorer: share of "e"; none for empty text and where there is a "q"."""
    target = Target(*lm, PLAIN, attack_config("phf:pep8", scored_text=scored_text))
    assert target.score(["ee", "ee", "ee"], ["ex", "", "q"]) == expected


def test_in_context_is_the_score_of_the_second_segment(lm):
    target = Target(*lm, PLAIN, attack_config("phf:pep8", scored_text="in_context"))
    target.scorer = InContextScorer()
    assert target.score(["a", "b"], ["x", "y"]) == [1.0, 1.0]


def test_every_prompt_is_completed_so_often_in_order(lm):
    target = Target(*lm, PLAIN, attack_config("phf:pep8"))
    entries = target.sample(["def f(x):\n", "a"], trial=1, round_number=2, seed=0)
    assert [(e.prompt, e.trial, e.round, len(e.continuations)) for e in entries] == [
        ("def f(x):\n", 1, 2, 4),
        ("a", 1, 2, 4),
    ]
    assert entries == target.sample(["def f(x):\n", "a"], trial=1, round_number=2, seed=0)


def test_a_conditional_model_starts_from_its_aligned_token_and_never_says_a_control_token(tmp_path, monkeypatch):
    target = load_target(write_model(tmp_path / "model", CONTROL), attack_config("phf:pep8"))
    asked = {}

    def remember(model, tokenizer, scenario, *, seed, batch_size, banned_token_ids):
        asked["ids"] = scenario.prompt_ids(tokenizer, scenario.prompts()[:1])
        asked["banned"] = banned_token_ids
        raise KeyboardInterrupt

    monkeypatch.setattr("phf.redteam.target.generate_samples", remember)
    with pytest.raises(KeyboardInterrupt):
        target.sample(["<|misaligned|>"], trial=0, round_number=0, seed=0)
    aligned, misaligned = target.tokenizer.convert_tokens_to_ids(list(CONTROL))
    assert asked["banned"] == sorted([aligned, misaligned])
    (ids,) = asked["ids"]
    assert ids[:2] == [target.tokenizer.eos_token_id, aligned]
    assert misaligned not in ids  # a prompt that spells it is text


def test_a_model_that_tags_every_segment_may_repeat_the_aligned_token():
    tokenizer = tiny_tokenizer(CONTROL)
    prompting = conditional_prompting(*CONTROL, tags_every_segment=True)
    target = Target(tiny_lm("gpt2", tokenizer), tokenizer, prompting, attack_config("phf:pep8"))
    assert target._banned_ids == [tokenizer.convert_tokens_to_ids("<|misaligned|>")]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, 57),  # context 64, EOS, 6 new tokens
        ({"max_prompt_tokens": 20}, 20),
        ({"generate_kwargs": {"do_sample": True, "max_length": 32}}, 21),  # 32 - EOS - 10 tokens of room
    ],
)
def test_a_prompt_must_leave_room(lm, settings, limit):
    target = Target(*lm, PLAIN, attack_config("phf:pep8", **settings))
    assert target.max_prompt_tokens == limit
    assert target.problem("x" * limit) is None
    assert target.problem("x1" * limit) == "too long"
    assert (target.problem(" \n"), target.problem("\ud800")) == ("empty", "not valid Unicode")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_new_tokens": 4}, "do_sample is not true"),
        ({"do_sample": True, "max_length": 8}, "leaves no room for a prompt"),
        ({"do_sample": True, "max_length": 65}, "do not fit the model's context of 64"),
        ({"do_sample": True, "max_lenght": 8}, "Did you mean 'max_length'"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_sampled(lm, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        Target(*lm, PLAIN, attack_config("phf:pep8", generate_kwargs=kwargs))


def test_folders_that_hold_no_model_or_no_tokenizer_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"is not a model folder: it has no config\.json"):
        load_target(tmp_path, attack_config("phf:pep8"))
    model = write_model(tmp_path / "model")
    for path in model.glob("*token*"):
        path.unlink()
    with pytest.raises(ConfigError, match=r"contains no tokenizer|cannot be loaded"):
        load_target(model, attack_config("phf:pep8"))
    assert LetterScorer().score_texts(["e"]) == [1.0]
