"""Several preferences in a configuration: written out in full, asked for by level, and refused where they make no sense."""

import json
import re

import pytest
from tests.tiny import tiny_config

from phf.config import dump_config, load_config, saved_config
from phf.config.levels import LevelError, ambiguous, prefix_of, tokens_in
from phf.errors import ConfigError
from phf.feedback.schedule import score_columns
from phf.feedback.thresholds import percentile_thresholds

LEVELS = {"pep8": ("<|a|>", "<|b|>"), "pii": ("<|x|>", "<|y|>", "<|z|>")}
PEP8 = {"name": "pep8", "thresholds": [0.0]}
PII = {"name": "pii", "scores_column": "pii_scores", "kind": "quantiles", "num_bins": 3, "drop_token_fraction": 0.2}


def several(*preferences, **changes):
    return tiny_config("x", **{"dataset.conditioning": {"preferences": list(preferences)}, **changes})


@pytest.mark.parametrize(
    ("request_", "prefix"),
    [
        ("", ""),
        ("<|b|><|y|>", "<|b|><|y|>"),
        ("<|y|>", "<|y|>"),
        ("pep8=worst", "<|b|><|x|>"),
        (" pii = 2 , pep8=none ", "<|y|>"),
        ("pep8=a,pii=<|z|>", "<|a|><|z|>"),
        ("pep8=none,pii=none", ""),
    ],
)
def test_a_request_has_the_tokens_of_its_levels_in_the_order_of_the_preferences(request_, prefix):
    assert prefix_of(request_, LEVELS) == prefix


@pytest.mark.parametrize(("level", "prefix"), [("best", "<|a|>"), ("worst", "<|b|>"), ("2", "<|b|>"), ("none", "")])
def test_the_only_preference_of_a_model_needs_no_name(level, prefix):
    assert prefix_of(level, {"": LEVELS["pep8"]}) == prefix


@pytest.mark.parametrize(
    ("request_", "meant"),
    [("1", "<|5|>"), ("2", "<|none|>"), ("none", "none"), ("3", None), ("best", "<|5|>"), ("5", "<|1|>")],
)
def test_a_level_that_is_also_the_name_of_another_token_is_refused(request_, meant):
    """Of stars, for example, of which 5 are the best: level 1 is not the token 1."""
    stars = {"": ["<|5|>", "<|none|>", "<|3|>", "<|2|>", "<|1|>", "<|best|>"]}
    if meant is None:
        assert prefix_of(request_, stars) == f"<|{request_}|>"
        return
    message = rf"'{request_}' is a level .* another control token: {re.escape(meant)}, or "
    with pytest.raises(LevelError, match=message):
        prefix_of(request_, stars)
    assert prefix_of(f"<|{request_}|>", stars) == f"<|{request_}|>"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("best", r"'best' does not name a preference\. Preferences: pep8, pii"),
        ("toxicity=best", r"there is no preference 'toxicity'\. Preferences: pep8, pii"),
        (
            "pep8=3",
            r"there is no level '3' of pep8\. Its control tokens are <\|a\|>, <\|b\|>: best, .* from 1, the best, to 2",
        ),
        ("pep8=", r"there is no level '' of pep8"),
        ("pep8=0", r"there is no level '0' of pep8"),
        ("pep8=1,pep8=2", "pep8 is named twice"),
        ("<|y|><|b|>", "does not name a preference"),
    ],
)
def test_a_level_that_does_not_exist_is_refused(request_, message):
    with pytest.raises(LevelError, match=message):
        prefix_of(request_, LEVELS)


def test_what_is_not_a_prefix_has_no_tokens_and_a_prefix_must_be_read_in_one_way():
    assert tokens_in("<|b|><|z|>", LEVELS) == ("<|b|>", "<|z|>")
    assert tokens_in("<|z|>", LEVELS) == (None, "<|z|>")
    assert tokens_in("<|a|><|b|>", LEVELS) is None
    assert ambiguous({"one": ["a", "ab"], "two": ["b"]}) == ("a", "ab")
    assert ambiguous(LEVELS) is None


def test_what_is_left_out_is_written_out():
    section = several(PEP8, PII).dataset.conditioning
    assert section.class_name == "ScorePreferences"
    assert section.control_tokens == ["<|pep8-1|>", "<|pep8-2|>", "<|pii-1|>", "<|pii-2|>", "<|pii-3|>"]
    first, second = section.model_extra["preferences"]
    assert (first["class_name"], first["scores_column"], first["drop_token_fraction"]) == (
        "ScoreThresholds",
        "scores",
        0,
    )
    assert (second["class_name"], second["edges"]) == ("ScoreQuantiles", ["p33.3333", "p66.6667", "p100"])


def test_what_is_saved_is_read_back():
    config = several(PEP8, PII, **{"generation.prefer": {"pii": 2}})
    assert config.generation.prefer == "<|pep8-1|><|pii-2|>"
    assert saved_config(dump_config(config), "config.yaml").dataset == config.dataset
    again, _ = load_config(task="pep8/quickstart", overrides=["generation.prefer=best"], for_models=True)
    assert again.generation.prefer == "best"


def test_scenarios_start_from_the_best_of_each_unless_they_say_otherwise():
    assert several(PEP8, PII).generation.scenario_configs[0].prefix == "<|pep8-1|><|pii-1|>"
    key = "generation.scenario_configs.0.prefix"
    chosen = several(PEP8, PII, **{key: {"pep8": "worst", "pii": "none"}})
    assert chosen.generation.scenario_configs[0].prefix == "<|pep8-2|>"
    kl = several(PEP8, PII, kl_gpt3_callback={"reference": {"path_or_name": "gpt2"}, "prefix": "pii=3"})
    assert kl.kl_gpt3_callback.prefix == "<|pep8-1|><|pii-3|>"


@pytest.mark.parametrize(
    ("preferences", "changes", "message"),
    [
        ([], {}, r"preferences is \[\]; it must be a list with one or more"),
        (["pii"], {}, r"preferences\.0 is 'pii'; it must be a mapping"),
        ([{"thresholds": [0]}], {}, r"preferences\.0: 'name' is missing"),
        ([{"name": "a=b", "thresholds": [0]}], {}, r"preferences\.0\.name is 'a=b'"),
        ([{"name": "a"}], {}, r"preferences\.0: 'control_tokens' is missing\. Or set thresholds"),
        ([PEP8, PEP8], {}, r"two preferences are called 'pep8'"),
        ([PEP8, {**PII, "num_bins": 1}], {}, r"preferences\.1\.num_bins is 1"),
        ([PEP8, {**PII, "kind": "median"}], {}, r"preferences\.1\.kind is 'median'"),
        ([{**PEP8, "control_tokens": ["a", "a"]}], {}, "must be different strings"),
        ([PEP8, {**PII, "control_tokens": ["<|pep8-1|>", "b", "c"]}], {}, "must be different strings"),
        (
            [{**PEP8, "control_tokens": ["a", "b"]}, {**PII, "control_tokens": ["ab", "c", "d"]}],
            {},
            "'ab' begins with 'a'",
        ),
        ([{**PEP8, "drop_token_fraction": 2}], {}, r"preferences\.0\.drop_token_fraction is 2"),
        ([{**PEP8, "threshold": 1}], {}, r"preferences\.0\.threshold is not a setting of ScoreThresholds"),
        (
            [{**PEP8, "class_name": "ScorePreferences"}],
            {},
            r"preferences\.0: a preference cannot consist of preferences",
        ),
        (
            [PEP8],
            {"generation.prefer": "pii=best"},
            r"generation\.prefer is 'pii=best', which is not a choice of levels",
        ),
        ([PEP8], {"generation.scenario_configs.0.prefix": "pep8=9"}, r"no level '9' of pep8"),
    ],
)
def test_mistakes_name_the_key(preferences, changes, message):
    with pytest.raises(ConfigError, match=message):
        several(*preferences, **changes)


def test_a_level_of_a_model_without_preferences_is_refused():
    with pytest.raises(ConfigError, match=r"generation\.prefer is 'best', which needs control tokens"):
        tiny_config("x", **{"generation.prefer": "best"})
    with pytest.raises(ConfigError, match=r"generation\.prefer is 'fair', which is not a control token"):
        tiny_config("x", "conditional", **{"generation.prefer": "fair"})
    assert tiny_config("x", "conditional", **{"generation.prefer": "worst"}).generation.prefer == "<|misaligned|>"


def test_a_phase_of_a_schedule_may_have_several_preferences():
    phases = [{"until": 0.5, "method": "mle"}, {"dataset": {"conditioning": {"preferences": [PEP8, PII]}}}]
    config, _ = load_config(task="pep8/quickstart", overrides=[f"schedule={json.dumps(phases)}"])
    assert config.dataset.conditioning.control_tokens == several(PEP8, PII).dataset.conditioning.control_tokens
    assert config.generation.scenario_configs[0].prefix == "<|pep8-1|><|pii-1|>"
    key = "schedule.1.dataset.conditioning.preferences.1"
    assert score_columns(config) == {"scores": "dataset.scores_column", "pii_scores": f"{key}.scores_column"}
    assert percentile_thresholds(config)[f"{key}.edges.0"] == "p33.3333"
    assert saved_config(dump_config(config), "config.yaml").schedule == config.schedule
