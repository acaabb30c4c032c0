"""Whether the weights in a folder can be those of the model that its configuration describes, before memory is taken for it."""

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from phf.errors import ConfigError
from phf.storage.loading_errors import UNREADABLE
from phf.storage.model_files import check_model_files
from phf.storage.sizes import size_text

WEIGHT_FILES = (".safetensors", ".bin", ".pt")
SMALL_BYTES = 2**29
"""In float32; a model that takes no more is not looked at."""
TIMES = 4
"""A model may be so many times as large as its files, at a byte a value: heads and buffers, for example, are not in them."""
NOT_BUILT = (*UNREADABLE, AssertionError)
"""Raised by transformers for a model that cannot be built, or not without memory."""


def check_size(auto_class: Any, name: str, key: str, settings: dict[str, Any]) -> None:
    """Raises `ConfigError`, which begins with `key`, for a folder whose configuration describes a model of a size that its
    files cannot hold. What is not a folder, or cannot be built without memory, is left to transformers.

    `settings`: arguments of `from_pretrained`.
    """
    folder = Path(name, settings.get("subfolder") or "")
    if not folder.is_dir():
        return
    check_model_files(folder, key)
    stored = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in WEIGHT_FILES and path.is_file())
    try:
        config = settings.get("config") or AutoConfig.from_pretrained(folder, trust_remote_code=False)
        described = num_values(auto_class, config)
    except NOT_BUILT:
        return
    if stored and 4 * described > SMALL_BYTES and described > TIMES * stored:
        raise ConfigError(
            f"{key}: '{name}' is configured as a model of {described:,} values, but its files of weights have "
            f"{size_text(stored)}. Restore its config.json, or choose another folder."
        )


def num_values(auto_class: Any, config: Any) -> int:
    """Numbers in the parameters and buffers of the model that a configuration describes. Takes no memory for them.

    Raises one of `NOT_BUILT`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = auto_class.from_config(copy.deepcopy(config))
    return sum(values.numel() for values in (*model.parameters(), *model.buffers()))
