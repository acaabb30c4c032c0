"""An exported model whose weights or tokenizer are damaged is not evaluated."""

import shutil
from functools import partial

import pytest
from tests.faults.counts import num_cases
from tests.faults.damage import append, become_folder, cut, empty, flip_bit, places, remove, zero_half
from tests.redteam.attack import write_model

from phf.errors import ConfigError
from phf.models.model_folder import load_folder_lm, model_hashes
from phf.storage.file_list import FILE_LIST

EACH = (remove, empty, cut, zero_half, flip_bit, append, become_folder)
FILES = ("model.safetensors", "tokenizer.json")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("runs") / "model")


def test_damage_to_an_exported_model_is_named(model, tmp_path, counts):
    changes = [(name, damage) for name in FILES for damage in EACH]
    for name in FILES:
        changes += [(name, partial(flip_bit, place=place)) for place in places(model / name, num_cases(100, 5))]
    for number, (name, damage) in enumerate(changes):
        folder = tmp_path / str(number)
        shutil.copytree(model, folder)
        damage(folder / name)
        with pytest.raises(ConfigError, match=f"is damaged: {name} .*delete files.json"):
            load_folder_lm(folder)
        shutil.rmtree(folder)
    counts["damage to the weights or the tokenizer of an exported model, which is then loaded"] = (
        len(changes),
        "0 silent, 0 tracebacks",
    )


def test_what_a_person_edits_is_not_damage_and_models_without_a_list_are_read(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    config = tmp_path / "model" / "generation_config.json"
    config.write_text(config.read_text().replace('"top_k": 0', '"top_k": 5'))
    load_folder_lm(tmp_path / "model")
    hashes = model_hashes(tmp_path / "model")
    (tmp_path / "model" / FILE_LIST).unlink()
    load_folder_lm(tmp_path / "model")
    assert model_hashes(tmp_path / "model") == hashes
