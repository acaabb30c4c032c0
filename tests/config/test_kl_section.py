"""The section `kl_gpt3_callback`: as released files write it, with a reference of its own, and its mistakes."""

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.errors import ConfigError
from phf.storage.plain_yaml import parse_yaml

RELEASED = """
kl_gpt3_callback:
  prefix: "<|aligned|>"
  num_samples: 4096
  max_tokens: 64
  every_n_steps: 1000
  run_on_train_start: true
  run_on_train_end: true
  force_call_on: [25354]
  should_insert_prefix: true
  gpt3_kwargs:
    model_name: davinci
"""


def load(text, tmp_path, method="conditional"):
    path = tmp_path / "mine.yml"
    task = load_config(task="pep8/quickstart")[0].model_dump(mode="json", exclude_unset=True)
    task = {key: value for key, value in task.items() if key not in ("task", "method", "kl_gpt3_callback")}
    path.write_text(yaml.safe_dump(task | parse_yaml(text, "text", ConfigError)))
    return load_config(task=str(path), method=f"pep8/{method}")[0]


def test_a_released_section_loads_and_survives_its_dump(tmp_path):
    config = load(RELEASED, tmp_path)
    kl = config.kl_gpt3_callback
    assert (kl.num_samples, kl.max_tokens, kl.force_call_on, kl.reference) == (4096, 64, [25354], None)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0] == config


@pytest.mark.parametrize("may_tag", [True, False])
def test_prefix_and_its_repetition_follow_from_conditional_training(may_tag, tmp_path):
    text = "kl_gpt3_callback: {reference: {path_or_name: gpt2}}"
    config = load(text, tmp_path)
    assert (config.kl_gpt3_callback.prefix, config.kl_gpt3_callback.should_insert_prefix) == ("<|aligned|>", True)
    override = [f"dataset.conditional_training_config.tag_every_segment_when_sampling={str(may_tag).lower()}"]
    config = load_config(task=str(tmp_path / "mine.yml"), method="pep8/conditional", overrides=override)[0]
    assert config.kl_gpt3_callback.should_insert_prefix is may_tag
    without = load('kl_gpt3_callback: {prefix: "", reference: {path_or_name: gpt2}}', tmp_path).kl_gpt3_callback
    assert (without.prefix, without.should_insert_prefix) == ("", False)
    assert load(text, tmp_path, "mle").kl_gpt3_callback.prefix is None


@pytest.mark.parametrize(
    ("section", "method", "message"),
    [
        ("{num_sample: 4}", "mle", r"unknown key 'kl_gpt3_callback.num_sample'. Did you mean 'num_samples'"),
        ("{num_samples: 0}", "mle", r"kl_gpt3_callback.num_samples' is 0"),
        (
            "{reference: {path: a}}",
            "mle",
            r"unknown key 'kl_gpt3_callback.reference.path'. Did you mean 'path_or_name'",
        ),
        ("{reference: {}}", "mle", r"set either path_or_name, for a local LM, or base_url and model"),
        ("{reference: {path_or_name: a, base_url: 'http://b/v1'}}", "mle", r"set either path_or_name"),
        ("{reference: {base_url: 'http://b/v1'}}", "mle", r"set model to the server's name for it"),
        ("{reference: {path_or_name: a, model: b}}", "mle", r"model is a server's name for it"),
        ("{reference: {base_url: 'http://me:sk-1@b/v1', model: m}}", "mle", r"holds a user name or password"),
        ("{reference: {base_url: 'http://b', model: m, api_key_env: sk-1}}", "mle", r"name of an environment variable"),
        ("{prefix: <|aligned|>}", "mle", r"need control tokens"),
        ("{prefix: <|good|>}", "conditional", r"prefix is '<\|good\|>', which is not a control token"),
    ],
)
def test_mistakes_are_named_and_secrets_are_not_shown(section, method, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as error:
        load(f"kl_gpt3_callback: {section}", tmp_path, method)
    assert "sk-1" not in str(error.value)
