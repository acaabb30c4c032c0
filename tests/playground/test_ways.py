"""Which columns a model offers."""

from dataclasses import replace

import pytest
from tests.tiny import PLAIN, conditional_prompting

from phf.errors import ConfigError
from phf.feedback import Prompting
from phf.feedback.control_tokens import control_tokens_of_levels
from phf.playground.ways import Way, preselected, ways_of


def several(**sizes):
    levels = {name: [f"<|{name}-{number}|>" for number in range(1, size + 1)] for name, size in sizes.items()}
    return Prompting(control_tokens=control_tokens_of_levels(levels))


def test_two_control_tokens_give_each_of_them_the_guided_one_and_none():
    assert ways_of(conditional_prompting()) == [
        Way("aligned", "<|aligned|>"),
        Way("guided: aligned, away from misaligned", "<|aligned|>", is_guided=True),
        Way("misaligned", "<|misaligned|>"),
        Way("no control token", ""),
    ]


def test_a_model_without_control_tokens_has_one_way():
    assert ways_of(PLAIN) == [Way("no control token", None)]


def test_several_preferences_give_all_combinations_of_their_levels():
    ways = ways_of(several(pep8=2, pii=3))
    assert [way.label for way in ways if not way.is_guided] == [
        "pep8-1 + pii-1",
        "pep8-1 + pii-2",
        "pep8-1 + pii-3",
        "pep8-2 + pii-1",
        "pep8-2 + pii-2",
        "pep8-2 + pii-3",
        "no control token",
    ]
    assert ways[1] == Way("guided: pep8-1 + pii-1, away from pep8-2 + pii-3", "<|pep8-1|><|pii-1|>", is_guided=True)


def test_of_many_combinations_those_are_listed_that_differ_from_the_best_in_one():
    labels = [way.label for way in ways_of(several(a=5, b=5)) if not way.is_guided]
    assert len(labels) == len({*labels}) == 1 + 4 + 4 + 1 + 1
    assert "a-3 + b-1" in labels
    assert "a-5 + b-5" in labels
    assert "a-3 + b-3" not in labels


def test_requested_levels_are_listed_first():
    ways = ways_of(several(a=5, b=5), ["a=3,b=3", "b=none"])
    assert [way.label for way in ways[:4]] == [
        "a-1 + b-1",
        "a-3 + b-3",
        "a-1",
        "guided: a-1 + b-1, away from a-5 + b-5",
    ]
    with pytest.raises(ConfigError, match="--prefer is 'c=1': there is no preference 'c'"):
        ways_of(several(a=5, b=5), ["c=1"])


def test_a_model_whose_control_tokens_follow_segments_is_prompted_without_any():
    after = replace(conditional_prompting(), placement="after_segment")
    assert ways_of(after) == [Way("no control token", None)]
    with pytest.raises(ConfigError, match="follow their segments"):
        ways_of(after, ["worst"])


def test_an_export_that_prefers_a_level_begins_with_it():
    assert ways_of(conditional_prompting().preferring("worst"))[0].label == "misaligned"


def test_one_model_shows_its_best_its_guided_and_its_worst_and_several_their_best():
    prompting = several(pep8=2, pii=2)
    ways = ways_of(prompting)
    labels = [way.label for way in preselected(ways, prompting, is_alone=True)]
    assert labels == ["pep8-1 + pii-1", "guided: pep8-1 + pii-1, away from pep8-2 + pii-2", "pep8-2 + pii-2"]
    assert preselected(ways, prompting, is_alone=False) == ways[:1]
