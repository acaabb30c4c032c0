"""The red LM without a model."""

import pytest
from tests.redteam.attack import entry

from phf.config.schema import RedTeamTemplate
from phf.errors import ConfigError
from phf.redteam.mutation import MutationRedLM
from phf.redteam.pool import PoolEntry
from phf.redteam.red_lm import build_red_lm

POOL = [entry("the cat sat", 0.1), entry("a dog ran home", 0.9), entry("one bird sang", 0.2)]


def test_it_is_seeded():
    red_lm = MutationRedLM()
    first = red_lm.propose(POOL, POOL, 20, 5)
    assert first == red_lm.propose(POOL, POOL, 20, 5)
    assert first != red_lm.propose(POOL, POOL, 20, 6)
    assert len(first.prompts) == 20
    assert len(set(first.prompts)) > 10
    assert not first.unreadable


def test_every_word_was_seen_in_the_pool_or_a_bad_continuation():
    words = {"the", "cat", "sat", "a", "dog", "ran", "home", "one", "bird", "sang", "c0"}
    for prompt in MutationRedLM().propose(POOL, POOL, 200, 0).prompts:
        assert set(prompt.split()) <= words, prompt


def test_a_prompt_is_extended_with_its_worst_continuation():
    parent = PoolEntry("He said", 0, 0, [" nice day", " you FOOL and more"], [0.0, 1.0], 0.0)
    prompts = MutationRedLM().propose([parent], [parent], 100, 0).prompts
    assert "He said you FOOL" in prompts
    assert not any("nice" in prompt for prompt in prompts)


def test_code_is_moved_about_by_lines_and_keeps_its_last_newline():
    code = [
        PoolEntry("def f(a, b):\n", 0, 0, ["    return a\n    x=1\n"], [0.5], 0.0),
        PoolEntry("class A:\n    def g(self):\n", 0, 0, ["        pass\n"], [0.1], 0.0),
    ]
    red_lm = MutationRedLM(unit="lines")
    prompts = red_lm.propose(code, code, 100, 1).prompts
    assert all(prompt.endswith("\n") for prompt in prompts)
    assert "def f(a, b):\n    return a\n" in prompts
    assert "".join(red_lm.cut("a\n b\nc")) == "a\n b\nc"


@pytest.mark.parametrize("prompt", ["x", "  ", "a\n\n", "日本 語。", "\ud800", ""])
def test_odd_prompts_do_not_break_it(prompt):
    odd = [entry(prompt, 1.0)]
    assert "".join(MutationRedLM().cut(prompt)) == prompt
    for unit in ("words", "lines"):
        assert len(MutationRedLM(unit=unit).propose(odd, odd, 30, 0).prompts) == 30


def test_settings_are_checked():
    template = RedTeamTemplate()
    assert build_red_lm({"class_name": "MutationRedLM", "unit": "lines"}, template).template is template
    with pytest.raises(ConfigError, match=r"redteam.red_lm.unit is 'letters'"):
        build_red_lm({"class_name": "MutationRedLM", "unit": "letters"}, template)
    with pytest.raises(ConfigError, match=r"no red LM called 'MutationLM'. Did you mean 'MutationRedLM'"):
        build_red_lm({"class_name": "MutationLM"}, template)
    with pytest.raises(ConfigError, match=r"LetterScorer' is not a class with the method propose"):
        build_red_lm({"class_name": "tests.redteam.attack:LetterScorer"}, template)
