"""Which runs differ only in the seed: their numbers are samples of one method on one task."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phf.config import method_label, saved_config
from phf.config.meaning import lasting_meaning_of
from phf.errors import ConfigError
from phf.runs.layout import CONFIG, run_of_model
from phf.storage.plain_yaml import parse_yaml
from phf.storage.reading import read_text, typed

SEED_KEYS = ("seed", "data_seed", "output_dir", "logging_dir", "run_name")
"""Of the section `training`: what differs between the seeds of one method."""


@dataclass(frozen=True)
class Training:
    """What a model was trained with, as far as it decides whose seed a run is."""

    method: str | None
    task: str | None
    seed: int | None
    settings: str
    """Hash of what the configuration without its seed means."""

    def to_json(self) -> dict[str, Any]:
        """For provenance.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Training | None":
        """None for what no `to_json` gave."""
        try:
            return typed(cls, values, "provenance.json", ConfigError)
        except ConfigError:
            return None

    @classmethod
    def of_config(cls, text: str) -> "Training | None":
        """Of a run's `config.yaml`; None where it is not one."""
        try:
            values = parse_yaml(text, "config.yaml", ConfigError)
        except ConfigError:
            return None
        training = values.get("training") if isinstance(values, dict) else None
        if not isinstance(training, dict):
            return None
        try:
            meaning = lasting_meaning_of(saved_config(text, "config.yaml"))
        except ConfigError:  # of a newer version, or with a class that is not installed: as it is written
            meaning = dict(values)
        rest = {key: value for key, value in (meaning.get("training") or {}).items() if key not in SEED_KEYS}
        names = {key: values.get(key) for key in ("method", "task")}
        settings = json.dumps({**meaning, **names, "training": rest}, sort_keys=True, default=str)
        method, task = (value if isinstance(value := values.get(key), str) else None for key in ("method", "task"))
        seed = training.get("seed")
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        return cls(method, task, seed if isinstance(seed, int) else None, digest)

    @classmethod
    def of_model(cls, folder: Path) -> "Training | None":
        """Of the run whose `model` this folder is; None for a model from elsewhere."""
        run = run_of_model(folder)
        if run is None:
            return None
        try:
            return cls.of_config(read_text(run / CONFIG, ConfigError))
        except ConfigError:
            return None


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, or one run."""

    name: str
    method: str
    members: list[int]
    """Their numbers, in order."""


def group_by_seed(
    names: Sequence[str], trainings: Sequence[Training | None], methods: Sequence[str] | None = None
) -> list[Group]:
    """Runs of one method and task that differ in the seed, each seed once, are one group; any other is its own.

    A group of several runs is called by their method, one run by its own name. `methods`: of runs whose training is not
    known; None: their names.
    """
    groups: list[list[int]] = []
    for index, training in enumerate(trainings):
        for group in groups:
            first = trainings[group[0]]
            if training is None or first is None or training.seed is None or training.settings != first.settings:
                continue
            if all(other is not None and other.seed != training.seed for other in (trainings[i] for i in group)):
                group.append(index)
                break
        else:
            groups.append([index])
    firsts = [group[0] for group in groups]
    methods = [
        method_label(
            (training.method if (training := trainings[first]) is not None else None) or (methods or names)[first]
        )
        for first in firsts
    ]
    called = []
    for method, group in zip(methods, groups, strict=True):
        is_one = len([i for i, other in enumerate(groups) if methods[i] == method and len(other) > 1]) == 1
        members = ", ".join(names[index] for index in group)
        called.append(
            members if len(group) == 1 else method if is_one and method not in names else f"{method} ({members})"
        )
    return [Group(name, method, group) for name, method, group in zip(called, methods, groups, strict=True)]
