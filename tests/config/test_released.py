"""Keys of the released system: read, translated, and gone from what new runs save."""

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.config.released import translate
from phf.errors import ConfigError

GONE = (
    "is_split_by_sentences",
    "concat_token",
    "num_of_sequences",
    "chars_per_token",
    "gpt2_config_kwargs",
    "gpt3_kwargs",
    "prompt_before_control",
    "display_as_html",
    "token_type_id",
    "special_tokens",
    "num_additional_tokens",
)
RELEASED = """
dataset: {datasets: [a], is_split_by_sentences: true, num_of_sequences: 64, concat_token: null}
tokenizer: {train_from_corpus: 300}
model: {model_type: gpt2, gpt2_config_kwargs: {n_layer: 3, scale_attn_by: true}}
training: {evaluation_strategy: "no"}
generation:
  scorer_config: {class_name: PEP8Scorer}
  scenario_configs:
    - {name: x, num_samples: 7, prompt_before_control: true, display_as_html: true, token_type_id: 0}
kl_gpt3_callback: {num_samples: 4, gpt3_kwargs: {model_name: davinci}}
"""
SAVED_BY_0_1 = """
dataset: {datasets: [a], is_split_by_sentences: true, concat_token: null, num_of_sequences: 1024, chars_per_token: 3.6}
tokenizer: {train_from_corpus: 300, path_or_name: null, special_tokens: null}
model: {model_type: gpt2, config_kwargs: {n_layer: 2}, gpt2_config_kwargs: {}, num_additional_tokens: null}
training: {seed: 1}
generation:
  scorer_config: {class_name: PEP8Scorer}
  scenario_configs: [{name: x, num_samples: 7, num_hits_threshold: 0}]
kl_gpt3_callback: {num_samples: 4, gpt3_kwargs: {}}
"""


def load(text, tmp_path, *overrides):
    (tmp_path / "old.yml").write_text(text)
    return load_config(config=tmp_path / "old.yml", overrides=overrides)


def test_released_keys_are_read_and_not_saved_again(tmp_path):
    config, warnings = load(RELEASED, tmp_path)
    assert config.model.config_kwargs == {"n_layer": 3}
    assert config.generation.scenario_configs[0].num_samples == 7
    for key, line in zip(
        ("evaluation_strategy", "scale_attn_by", "num_of_sequences", "davinci"), warnings, strict=True
    ):
        assert key in line
        assert "old.yml" in line
    saved = dump_config(config)
    assert not [key for key in GONE if key in saved]
    (tmp_path / "config.yaml").write_text(saved)
    assert load_config(config=tmp_path / "config.yaml") == (config, [])


def test_a_configuration_that_an_older_version_saved_loads_without_a_word(tmp_path):
    config, warnings = load(SAVED_BY_0_1, tmp_path)
    assert warnings == []
    assert config.model.config_kwargs == {"n_layer": 2}
    assert not [key for key in GONE if key in dump_config(config)]


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ({"dataset": {"is_split_by_sentences": False}}, r"f: dataset.is_split_by_sentences: false is not supported"),
        ({"dataset": {"concat_token": "x"}}, r"f: dataset.concat_token: only the tokenizer's EOS"),
    ],
)
def test_a_released_setting_that_would_change_results_is_refused(old, message):
    with pytest.raises(ConfigError, match=message):
        translate(old, "f")


def test_of_two_names_of_one_setting_the_later_wins(tmp_path):
    both = yaml.safe_load(RELEASED)
    both["model"]["config_kwargs"] = {"n_layer": 4, "n_head": 2}
    assert load(yaml.safe_dump(both), tmp_path)[0].model.config_kwargs == {"n_layer": 4, "n_head": 2}
    config, warnings = load(
        RELEASED, tmp_path, "model.gpt2_config_kwargs.n_layer=5", "training.evaluation_strategy=steps"
    )
    assert config.model.config_kwargs == {"n_layer": 5}
    assert config.training.model_extra == {"eval_strategy": "steps"}
    assert any("--override training.evaluation_strategy" in line for line in warnings)


def test_strange_values_in_the_place_of_old_keys_are_the_schemas_to_refuse(tmp_path):
    for old in ("model: {model_type: gpt2, gpt2_config_kwargs: 3}", "model: 3", "dataset: 3", "kl_gpt3_callback: [1]"):
        key = old.partition(":")[0]
        text = yaml.safe_dump({**yaml.safe_load(RELEASED), **yaml.safe_load(old)})
        with pytest.raises(ConfigError, match=f"'{key}"):
            load(text, tmp_path)
