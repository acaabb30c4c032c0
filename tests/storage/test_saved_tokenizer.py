"""Tokenizers whose vocabulary cannot be used are refused when they are loaded."""

import json

import pytest
from tests.tiny import tiny_tokenizer

from phf.errors import ConfigError
from phf.storage.saved_tokenizer import read_tokenizer


def saved(folder, **changes):
    """A folder with a tokenizer whose tokens have other ids."""
    tiny_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_bytes())
    values["model"]["vocab"] |= changes
    path.write_text(json.dumps(values))
    return str(folder)


def test_an_intact_one_is_read(tmp_path):
    assert read_tokenizer(saved(tmp_path), "key").get_vocab() == tiny_tokenizer().get_vocab()


def test_an_id_far_above_the_others_is_refused_before_memory_is_taken_for_those_between(tmp_path):
    with pytest.raises(
        ConfigError, match=r"key: the tokenizer in '.*' has \d+ tokens, but gives 'new' the id 2,147,483,648"
    ):
        read_tokenizer(saved(tmp_path, new=2**31), "key")


def test_two_tokens_with_one_id_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"the tokenizer in '.*' (gives '.' and '.' the same id|is damaged)"):
        read_tokenizer(saved(tmp_path, x=tiny_tokenizer().get_vocab()["y"]), "key")


def test_merges_that_contradict_the_prefix_are_refused_before_the_library_ends_the_process(tmp_path):
    folder = saved(tmp_path)
    path = tmp_path / "tokenizer.json"
    values = json.loads(path.read_bytes())
    values["model"]["continuing_subword_prefix"] = "~"
    path.write_text(json.dumps(values))
    with pytest.raises(
        ConfigError, match=r"key: the tokenizer in '.*' has the continuing_subword_prefix '~', but merges"
    ):
        read_tokenizer(folder, "key")


def test_a_length_in_words_is_refused(tmp_path):
    folder = saved(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "model_max_length": ["a"]}))
    with pytest.raises(ConfigError, match=r"key: '.*' cannot be loaded"):
        read_tokenizer(folder, "key")


def test_a_start_of_texts_without_its_token_is_refused(tmp_path, capfd):
    folder = saved(tmp_path)
    path = tmp_path / "tokenizer.json"
    start = {"id": "lacking", "type_id": 0}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": start}], "pair": [], "special_tokens": {}}
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "post_processor": template}))
    with pytest.raises(ConfigError, match=r"key: (the tokenizer in )?'.*' (is damaged|cannot be loaded)"):
        read_tokenizer(folder, "key")
