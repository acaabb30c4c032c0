"""Name -> "module:attribute", resolved when asked for, so that listing what exists imports nothing."""

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from phf.errors import ConfigError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence for an error message: the nearest known name, then all of them."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{nearest[0]}'? " if nearest else ""
    return f"{hint}Known: {', '.join(names)}."


@dataclass(frozen=True)
class Registry:
    """The shipped entries of one kind (scorer, objective, metric) and the plugins installed beside them.

    A name is looked up among the shipped entries, then among the entry points of `group`; a name of the form
    `package.module:attribute` is imported as it stands, so a user's own class needs no registration.
    """

    kind: str
    group: str
    entries: dict[str, tuple[str, str]]
    """name -> (target "module:attribute", one line of description)"""

    def describe(self) -> dict[str, str]:
        """name -> one line of description, shipped entries first, plugins after."""
        plugins = {point.name: f"plugin: {point.value}" for point in entry_points(group=self.group)}
        return {name: summary for name, (_, summary) in self.entries.items()} | plugins

    def resolve(self, name: str) -> Any:
        """Import and return the object called `name`. Raises `ConfigError` with the nearest known name."""
        if name in self.entries:
            return _import(self.entries[name][0], self.kind)
        for point in entry_points(group=self.group, name=name):
            return _import(point.value, self.kind)
        if ":" in name:
            return _import(name, self.kind)
        raise ConfigError(
            f"There is no {self.kind} called '{name}'. {did_you_mean(name, self.describe())} "
            f"Your own {self.kind} is named as 'package.module:ClassName'."
        )


def _import(target: str, kind: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(f"The {kind} '{target}' cannot be imported: {error}. Is its package installed?") from error
    except AttributeError as error:
        raise ConfigError(f"The {kind} '{target}' cannot be imported: {error}.") from error


SCORERS = Registry(
    kind="scorer",
    group="phf.scorers",
    entries={
        "PEP8Scorer": ("phf.scorers.pep8:PEP8Scorer", "PEP 8 violations per character, found by pycodestyle"),
    },
)

OBJECTIVES = Registry(
    kind="objective",
    group="phf.objectives",
    entries={
        "MLE": ("phf.objectives.mle:MLE", "maximum likelihood; also the loss of filtering and conditional training"),
        "Unlikelihood": ("phf.objectives.unlikelihood:Unlikelihood", "raise p(aligned tokens), lower p(misaligned)"),
        "AWR": ("phf.objectives.awr:AWR", "likelihood weighted by exp(advantage / beta); RWR is alpha = 1"),
    },
)

METRICS = Registry(
    kind="metric",
    group="phf.metrics",
    entries={
        "Length": ("phf.evaluation.metrics:Length", "mean length of the samples in characters"),
        "NGramStats": ("phf.evaluation.metrics:NGramStats", "distinct n-grams per sample and entropy of all n-grams"),
        "SelfBLEU": ("phf.evaluation.metrics:SelfBLEU", "similarity of the samples to one another; lower is more diverse"),
        "SelfBlEU": ("phf.evaluation.metrics:SelfBLEU", "the released system's spelling of SelfBLEU"),
        "Compilability": ("phf.evaluation.metrics:Compilability", "share of samples that compile as Python"),
    },
)
