"""Layers of plain values, merged: a task under a method under the overrides of a command, with the origin of each value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phf.config.named import KeyPath, name_key
from phf.config.released import current_path
from phf.errors import ConfigError
from phf.storage.plain_yaml import parse_yaml
from phf.storage.reading import short
from phf.storage.secrets import redacted, refuse_secrets


def merge(base: Any, update: Any, origin: str, origins: dict[KeyPath, str], at: KeyPath = ()) -> Any:
    """`update` on top of `base`: mappings key by key, anything else replaced.

    A section that names another class replaces the one below it, whose settings are those of that class.
    """
    if not isinstance(update, dict):
        if isinstance(base, dict | list):  # else nothing is below it, and looking for that takes long in a large file
            _set_origin(origins, at, origin)
        origins[at] = origin
        return update
    key = name_key(at)
    if isinstance(base, dict) and key in base and base[key] != update.get(key, base[key]):
        _set_origin(origins, at, origin)
        base = None
    origins[at] = origin
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in update.items():
        result[key] = merge(result.get(key), value, origin, origins, (*at, key))
    return result


def origin_of(at: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    """The file or override that set the value."""
    return next((origins[at[:n]] for n in range(len(at), -1, -1) if at[:n] in origins), "configuration")


def apply_override(values: dict[str, Any], override: str, origins: dict[KeyPath, str]) -> list[str]:
    """Set one value in place; returns a warning if its key has a different name today."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    refuse_secrets({path.strip(): text.strip()} if separator else override, "--override")
    if not separator or not all(keys):
        raise ConfigError(f"--override {override}: write it as section.key=value.")
    keys, warnings = current_path(keys, f"--override {override}")
    value = parse_yaml(text, f"--override {redacted(override.strip())}", ConfigError)
    refuse_secrets({path.strip(): value}, "--override")
    target: Any = values
    at: list[str | int] = []
    for depth, key in enumerate(keys[:-1]):
        at.append(int(key) if isinstance(target, list) and _is_index(key) else key)
        if isinstance(target, dict):
            if target.get(key) is None:
                target[key] = {}
                _set_origin(origins, tuple(at), f"--override {override}")
            target = target[key]
        else:
            target = _item(target, key, override, keys[:depth])
    if isinstance(target, dict):
        target[keys[-1]] = value
    else:
        _item(target, keys[-1], override, keys[:-1])
        target[int(keys[-1])] = value
    at.append(int(keys[-1]) if isinstance(target, list) else keys[-1])
    _set_origin(origins, tuple(at), f"--override {override}")
    return warnings


def _set_origin(origins: dict[KeyPath, str], at: KeyPath, origin: str) -> None:
    """Record the new origin of a value and everything below it."""
    for below in [path for path in origins if path[: len(at)] == at]:
        del origins[below]
    origins[at] = origin


def _item(target: Any, key: str, override: str, parents: list[str]) -> Any:
    where = ".".join(parents)
    if not isinstance(target, list):
        raise ConfigError(f"--override {override}: {where} is {short(repr(target))}, which has no keys.")
    if not _is_index(key) or int(key) >= len(target):
        raise ConfigError(
            f"--override {override}: {where} is a list of {len(target)}; address an item by its number, from 0."
        )
    return target[int(key)]


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < 10


def refuse_second_method(sections: Mapping[str, Any], task_file: Path, method: str | None) -> None:
    """Raises `ConfigError` for a method on top of the whole configuration of a run: what that run's own method sets, and the
    other does not mention, would stay."""
    own = sections.get("method")
    if method is not None and own is not None:
        raise ConfigError(
            f"{task_file} is the whole configuration of a run with the method {own}, whose settings would stay under --method "
            f"{method}. Give it as --config, without --method, or the task's own file as --task."
        )
