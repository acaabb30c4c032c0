"""`kind: quantiles` is written out as a class with edges at percentiles, and mistakes in it name file and key."""

import pytest
from tests.tiny import tiny_config

from phf.config import dump_config, load_config, saved_config
from phf.errors import ConfigError


def quantiles(**section):
    return tiny_config("x", **{"dataset.conditioning": {"kind": "quantiles", **section}})


def test_five_bins_have_five_tokens_and_edges_at_every_fifth():
    section = quantiles(num_bins=5).dataset.conditioning
    assert section.class_name == "ScoreQuantiles"
    assert section.model_extra == {"edges": ["p20", "p40", "p60", "p80", "p100"]}
    assert section.control_tokens == [f"<|quantile{number}|>" for number in range(1, 6)]


def test_other_keys_of_the_section_are_kept():
    section = quantiles(num_bins=3, control_tokens=["<|a|>", "<|b|>", "<|c|>"], drop_token_fraction=0.25)
    conditioning = section.dataset.conditioning
    assert (conditioning.control_tokens, conditioning.drop_token_fraction) == (["<|a|>", "<|b|>", "<|c|>"], 0.25)
    assert conditioning.model_extra == {"edges": ["p33.3333", "p66.6667", "p100"]}
    assert section.generation.scenario_configs[0].prefix == "<|a|>"


def test_what_is_saved_is_read_back():
    config = quantiles(num_bins=4)
    assert saved_config(dump_config(config), "config.yaml") == config


def test_the_shipped_method_is_found_for_every_task_and_its_bins_can_be_changed():
    for task in ("pii/emails", "pep8/packages", "profanity/emails", "toxicity"):
        config, _ = load_config(task=task, method="quantiles")
        assert len(config.dataset.conditioning.control_tokens) == 5
    config, _ = load_config(task="pep8", method="quantiles", overrides=["dataset.conditioning.num_bins=7"])
    assert len(config.dataset.conditioning.control_tokens) == 7


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, r"num_bins is missing; it must be a whole number from 2 to 100"),
        ({"num_bins": 1}, r"num_bins is 1; it must be a whole number from 2"),
        ({"num_bins": 101}, r"num_bins is 101; it must be"),
        ({"num_bins": 2.5}, r"num_bins is 2\.5; it must be"),
        ({"num_bins": True}, r"num_bins is True; it must be"),
        ({"num_bins": "five"}, r"num_bins is 'five'; it must be"),
        ({"num_bins": 3, "control_tokens": ["a", "b"]}, r"num_bins is 3, but control_tokens has 2"),
        ({"num_bins": 2, "control_tokens": "ab"}, r"control_tokens' is 'ab': Input should be a valid list"),
        ({"num_bins": 2, "control_tokens": ["a", "a"]}, r"control_tokens must be different strings"),
        ({"num_bins": 2, "class_name": "ScoreThresholds"}, r"kind: quantiles chooses class_name itself"),
        ({"num_bins": 2, "edges": [0, 1]}, r"kind: quantiles chooses edges itself"),
        ({"num_bins": 2, "kind": "quantile"}, r"kind is 'quantile'\. Did you mean 'quantiles'"),
        ({"num_bins": 2, "kind": None}, r"kind is None"),
        ({"num_bins": 2, "num_bin": 3}, r"num_bin is not a setting of ScoreQuantiles"),
    ],
)
def test_mistakes_name_the_key(section, message):
    with pytest.raises(ConfigError, match=rf"dataset\.conditioning.*{message}"):
        quantiles(**section)


def test_a_mistake_names_the_file_that_it_is_in(tmp_path):
    (tmp_path / "mine.yml").write_text("dataset: {conditioning: {kind: quantiles, num_bins: 0}}")
    with pytest.raises(ConfigError, match=r"mine\.yml: dataset\.conditioning\.num_bins is 0"):
        load_config(task="pep8", method=str(tmp_path / "mine.yml"))


def test_a_prefix_asks_for_a_known_level():
    with pytest.raises(ConfigError, match=r"prefix '<\|quantile9\|>' is not a control token of dataset\.conditioning"):
        tiny_config(
            "x",
            **{
                "dataset.conditioning": {"kind": "quantiles", "num_bins": 5},
                "generation.scenario_configs.0.prefix": "<|quantile9|>",
            },
        )
