"""What a model folder is called, and by what it is known again."""

import shutil

import pytest
from tests.redteam.attack import write_model

from phf.errors import ConfigError, CorpusError
from phf.models.model_folder import check_distinct, check_model_folder, model_hashes, model_name, model_names


def test_a_model_is_known_by_the_content_of_its_files(tmp_path):
    model = write_model(tmp_path / "a")
    shutil.copytree(model, tmp_path / "b")  # at another time
    (tmp_path / "b" / "notes.md").write_text("of no importance")
    assert model_hashes(tmp_path / "b") == model_hashes(model)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(model_hashes(model))
    for name in ("generation_config.json", "tokenizer_config.json"):
        (tmp_path / "b" / name).write_text("{}")
        assert model_hashes(tmp_path / "b")[name] != model_hashes(model)[name]
    assert model_hashes(write_model(tmp_path / "c", seed=1)) != model_hashes(model)


def test_a_model_of_a_run_has_the_name_of_the_run(tmp_path):
    assert model_name(tmp_path / "pep8-mle" / "model") == "pep8-mle"
    assert model_name(tmp_path / "gpt2") == "gpt2"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"is not a model folder: it has no config\.json"):
        check_model_folder(tmp_path)


def test_names_of_models_are_different_whatever_their_folders_are_called(tmp_path):
    folders = [tmp_path / place for place in ("x/a", "y/a", "x/a-1", "x/b", "run/model", "z/a")]
    assert model_names(folders) == ["a-7", "a-2", "a-1", "b", "run", "a-6"]


def test_a_model_that_is_given_twice_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigError, match="link is given 2 times"):
        check_distinct([tmp_path / "link", tmp_path / "b", tmp_path / "a"])
    check_distinct([tmp_path / "b", tmp_path / "a"])
