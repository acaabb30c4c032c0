"""Model folders of strangers: regular files only, and no code of a hub by name."""

import json
import os

import pytest
from transformers import AutoConfig

from phf.errors import ConfigError
from phf.storage.model_files import check_model_files, named_code
from phf.storage.pretrained import read_pretrained


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1}))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("tokenizer.json", os.mkfifo, "a FIFO"),
        ("model.safetensors", lambda path: path.symlink_to("/dev/zero"), "a device"),
        ("generation_config.json", lambda path: path.symlink_to("/dev/null"), "a device"),
    ],
)
def test_what_is_not_a_regular_file_is_refused_before_it_is_opened(name, make, kind, folder):
    make(folder / name)
    with pytest.raises(ConfigError, match=rf"^model\.path_or_name: .*{name} is {kind}, not a regular file") as error:
        read_pretrained(AutoConfig.from_pretrained, str(folder), "model.path_or_name")
    assert "\n" not in str(error.value)


def test_links_to_files_folders_and_links_to_nothing_are_left_to_transformers(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("blobs") / "a"
    (folder / "config.json").rename(elsewhere)
    (folder / "config.json").symlink_to(elsewhere)  # as in the Hub's cache
    (folder / "onnx").mkdir()
    (folder / "gone.json").symlink_to("nowhere")
    assert read_pretrained(AutoConfig.from_pretrained, str(folder), "model.path_or_name").n_layer == 1


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("value", ["kernels-community/flash-attn", "me/code@main:x", {"": "a/b"}])
def test_an_implementation_that_is_code_of_a_hub_is_refused_in_one_line(key, value, folder):
    for settings in ({key: value}, {"text_config": {key: value}}):
        (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **settings}))
        with pytest.raises(
            ConfigError, match=rf"^KEY: '{key}' is .*config\.json: code from the Hub is never run"
        ) as error:
            check_model_files(folder, "KEY")
        assert "\n" not in str(error.value)


def test_code_that_a_configuration_brings_along_is_not_run(folder):
    settings = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "mine.py").write_text("raise AssertionError('it was run')\nclass Mine: pass\n")
    with pytest.raises(ConfigError, match=r"^KEY: .*cannot be loaded") as error:
        read_pretrained(AutoConfig.from_pretrained, str(folder), "KEY")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[]", "{", "", "\xff", '"a"', "[" * 1000])
def test_settings_that_are_not_a_mapping_are_one_error(content, folder):
    (folder / "tokenizer_config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"^KEY: .*tokenizer_config\.json"):
        check_model_files(folder, "KEY")


def test_implementations_of_transformers_are_not_code_of_a_hub():
    assert not [*named_code({"attn_implementation": "sdpa", "_attn_implementation": None, "a": "b/c", "x": ["d/e"]})]


@pytest.mark.parametrize(
    "settings", [{"n_layer": 1001}, {"text_config": {"num_hidden_layers": 1e30}}, {"num_labels": 10**9}]
)
def test_more_than_can_be_built_is_refused_before_it_is(settings, folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **settings}))
    with pytest.raises(ConfigError, match=r"^KEY: '(n_layer|num_hidden_layers|num_labels)' is .*config\.json") as error:
        check_model_files(folder, "KEY")
    assert "at most" in str(error.value)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1000, "layers": True}))
    check_model_files(folder, "KEY")
