"""Where the configurations of runs differ."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from phf.config import saved_config
from phf.config.meaning import lasting_meaning_of
from phf.errors import ConfigError
from phf.report.tables import seed_groups
from phf.runs.reader import Run
from phf.runs.seeds import SEED_KEYS
from phf.storage.plain_yaml import parse_yaml

ABSENT = "not set"
LABELS = ("task", "method", "size")
"""Keys that name a run rather than decide anything."""


def config_differences(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """(key, [(value, methods that have it)]) for each key that two methods differ in; seeds and names left out.

    Configurations of older versions are compared by what they mean, where this version can read them.
    """
    models = [run for run in runs if run.kind == "model"]
    flat = [
        (dict(_flat(values)), group.name)
        for group in seed_groups(models)
        if (values := _values(models[group.members[0]].config)) is not None
    ]
    rows = []
    for key in dict.fromkeys(key for values, _ in flat for key in values):
        by_value: dict[str, list[str]] = {}
        for values, method in flat:
            by_value.setdefault(values.get(key, ABSENT), []).append(method)
        if len(by_value) > 1:
            rows.append((key, list(by_value.items())))
    return rows


def _values(text: str) -> dict[str, Any] | None:
    """The meaning of a configuration, otherwise what is written; None where it cannot be read."""
    try:
        values = parse_yaml(text, "config.yaml", ConfigError)
    except ConfigError:
        return None
    if not isinstance(values, dict):
        return None
    with suppress(ConfigError):  # of a newer version, or with a class that is not installed: as it is written
        values = lasting_meaning_of(saved_config(text, "config.yaml"))
    training = values.get("training")
    if isinstance(training, dict):
        values = {**values, "training": {key: value for key, value in training.items() if key not in SEED_KEYS}}
    return {key: value for key, value in values.items() if key not in LABELS}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """("section.key", value as text) for each value; items of a list by their name, or by their number."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            yield from _flat(item, f"{key}.{name or number}")
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
