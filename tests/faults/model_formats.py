"""The settings of a model folder, as `phf` and transformers read them: values of unusable types and sizes, broken bytes."""

import json
import random
from pathlib import Path
from typing import Any

from tests.faults.formats import Format
from tests.faults.mutation import mutated_json
from tests.redteam.attack import write_model

from phf.models.model_folder import find_model, is_of_released_system, load_folder_lm
from phf.storage.file_list import FILE_LIST

SIZES = (2**16, 10**6, 10**9, 2**31, 10**12, 2**63, 10**30)
"""What would take much memory or time where it is the size or the number of something."""


def settings_of_a_model(name: str) -> dict[str, Any]:
    """`prepare` and `write` of one of the files of settings of a model folder; the others stay intact."""

    def prepare(folder: Path) -> None:
        write_model(folder)
        (folder / FILE_LIST).unlink()  # otherwise every change is found by it
        folder.with_name(f"{folder.name}.intact").write_bytes((folder / name).read_bytes())

    def write(folder: Path, rng: random.Random) -> None:
        intact = json.loads(folder.with_name(f"{folder.name}.intact").read_bytes())
        (folder / name).write_bytes(changed(intact, rng))

    return {"prepare": prepare, "write": write}


def changed(values: dict[str, Any], rng: random.Random) -> bytes:
    """The settings with one of their numbers made huge, or anything about them changed."""
    numbers = [key for key, value in values.items() if type(value) is int]
    if not numbers or rng.random() < 0.7:
        return mutated_json(values, rng)
    size = rng.choice(SIZES)
    return json.dumps({**values, rng.choice(numbers): rng.choice((size, size, -size))}).encode()


def read_model(folder: Path) -> None:
    find_model(folder)
    is_of_released_system(folder)
    load_folder_lm(folder)


MODEL_FORMATS = (
    Format("config.json of a model", **settings_of_a_model("config.json"), read=read_model),
    Format("generation_config.json of a model", **settings_of_a_model("generation_config.json"), read=read_model),
)
