"""The files of a model folder, before transformers opens them: regular files, and none that names code of others to be run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phf.errors import ConfigError
from phf.storage.reading import endless, parse_json, read_bytes
from phf.text import visible

MAX_CONFIG_BYTES = 20_000_000
"""Of a file of settings; tokenizers and weights are not among these."""
SETTINGS = ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")
IMPLEMENTATIONS = ("attn_implementation", "experts_implementation", "attn_implementation_internal", "custom_generate")
"""Keys, without a leading underscore, whose value names an implementation; with a slash it is code of a repository."""

MOST = (
    (re.compile(r"layers?$|^depths?$"), 1_000),
    (re.compile(r"^(n|num)_(\w+_)?(blocks?|experts|codebooks|quantizers|stages|groups)$"), 10_000),
    (re.compile(r"^num_labels$"), 100_000),
)
"""Keys of a configuration that say how many of something are built, one by one, and the most that are: more would be built for
minutes, even without their weights."""


def check_model_files(folder: Path, key: str) -> None:
    """Raises `ConfigError`, which begins with `key`, for a folder with a file that is not a regular one, since reading it might
    never end, or with settings that name code from a hub, which is never run. Links to regular files are regular."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{key}: {folder} cannot be read: {error.strerror}.") from error
    for path in paths:
        if (kind := endless(path)) is not None:  # of a link to nothing, transformers says what it lacks
            raise ConfigError(
                f"{key}: {visible(str(path))} is {kind}, not a regular file. Remove it, or copy the model again."
            )
    for name in SETTINGS:
        if (folder / name).is_file():
            check_settings(folder / name, key)


def check_settings(path: Path, key: str) -> None:
    """Raises `ConfigError` for settings that name code from a hub. What is not JSON is left to what reads it."""
    content = read_bytes(path, lambda message: ConfigError(f"{key}: {message}"), max_bytes=MAX_CONFIG_BYTES)
    try:
        values = parse_json(content, str(path), ConfigError)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error} Restore it, or choose another folder.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{key}: {path} is not a JSON mapping. Restore it, or choose another folder.")
    for name, number, most in _too_many(values) if path.name == "config.json" else ():
        raise ConfigError(
            f"{key}: '{visible(name, 80)}' is {number:.6g} in {path}, which may be at most {most:,}. Restore it, or choose "
            "another folder."
        )
    for name, value in named_code(values):
        raise ConfigError(
            f"{key}: '{name}' is '{visible(value, 80)}' in {path}: code from the Hub is never run. Remove that key."
        )


def named_code(settings: Any) -> Iterator[tuple[str, str]]:
    """(key, value) of each setting, at any depth, that names code of a repository."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            is_one = str(key).lstrip("_") in IMPLEMENTATIONS
            for text in _texts(value) if is_one else ():
                if "/" in text:
                    yield str(key), text
            if not is_one:
                yield from named_code(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from named_code(value)


def _too_many(settings: Any) -> Iterator[tuple[str, int | float, int]]:
    """(key, value, most) of each number, at any depth, of things that would take too long to build."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            most = next((most for names, most in MOST if names.search(key)), None)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if most is not None and is_number and value > most:
                yield key, value, most
            yield from _too_many(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _too_many(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
