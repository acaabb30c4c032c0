"""Sizes: what `size: tiny` in a task file, or `--size`, stands for. `configs/sizes.yml` says it, for all tasks.

A task that says `size:` leaves open how large its model is and how long it trains. The sections of the size go below those
of the task file, so that what the file says itself, the method and overrides take precedence.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phf.errors import ConfigError
from phf.registry.nearest import did_you_mean
from phf.storage.plain_yaml import read_yaml
from phf.storage.reading import short

KEY = "size"


def size_layers(
    task: dict[str, Any], task_file: Path, shipped: Path, size: str | None
) -> tuple[str | None, list[tuple[str, dict[str, Any]]]]:
    """(name of the size, (origin, sections) of each layer that goes below the task's), for the sections of a task file.

    `size`: the one that was asked for; None: the task's own. (None, []) for a task without sizes, if none was asked for.
    Raises `ConfigError` for a size that does not exist, and for one that a task without sizes is asked for.
    """
    if task.get(KEY) is None:  # null in a configuration that was dumped
        if size is None:
            return None, []
        sized = [
            f"{path.parent.name}/{path.stem}"
            for path in sorted(shipped.glob("*/*.yml"))
            if KEY in (read_yaml(path, ConfigError) or {})
        ]
        raise ConfigError(
            f"--size {size}: {task_file} has no sizes; it says itself which model it trains and on how many tokens. Tasks with "
            f"sizes: {', '.join(sized)}. A task file of your own has them with the line `{KEY}: tiny`, without sections on the "
            "model and the tokenizer."
        )
    sizes = read_yaml(shipped / "sizes.yml", ConfigError)
    chosen, origin = (task[KEY], str(task_file)) if size is None else (size, "--size")
    if not isinstance(chosen, str) or chosen not in sizes:
        raise ConfigError(f"{origin}: {short(repr(chosen))} is not a size. {did_you_mean(str(chosen), sizes)}")
    layers = [sizes[chosen]["sections"], sizes[chosen].get(task_file.stem, {})]
    return chosen, [(f"configs/sizes.yml ({chosen})", layer) for layer in layers]


def refuse_size(keys: Mapping[str, Any], origin: str) -> None:
    """Raise `ConfigError` where a method or an override says `size`, which would have no effect there."""
    if KEY in keys:
        raise ConfigError(f"{origin}: '{KEY}' belongs in a task file, or on the command line as --size.")
