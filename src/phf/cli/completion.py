"""What a shell offers to complete: names of tasks, methods, scorers, studies and keys. Nothing heavy is imported for it."""

from collections.abc import Iterator, Mapping
from typing import get_args

Offers = list[tuple[str, str]]
"""(what is offered, what it is)"""


def tasks(incomplete: str) -> Offers:
    """Shipped tasks; `pep8/pretrain` also by its short name."""
    from phf.config import shipped_files

    shipped = shipped_files()["tasks"]
    short = {name.removesuffix("/pretrain"): what for name, what in shipped.items() if name.endswith("/pretrain")}
    return _starting(incomplete, short | shipped)


def methods(incomplete: str) -> Offers:
    """Shipped methods by their bare names, or with the folder for who has typed a slash."""
    from phf.config import shipped_files

    shipped = shipped_files()["methods"]
    bare = {name.rpartition("/")[2]: what for name, what in shipped.items()}
    return _starting(incomplete, shipped if "/" in incomplete else bare)


def scorers(incomplete: str) -> Offers:
    """Shipped scorers and those of installed plugins."""
    from phf.registry.names import SCORERS

    return _starting(incomplete, SCORERS.describe())


def studies(incomplete: str) -> Offers:
    """Shipped studies."""
    from phf.study.schema import shipped_studies

    return _starting(incomplete, shipped_studies())


def overrides(incomplete: str) -> Offers:
    """Keys of the configuration, up to the value."""
    from phf.config.schema import Config

    return _starting(incomplete, {f"{key}=": "" for key in _keys(Config)})


def _keys(section: type) -> Iterator[str]:
    """Dotted keys of a section and those in it."""
    for name, field in section.model_fields.items():  # type: ignore[attr-defined]
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
        if inner is None:
            yield name
        else:
            yield from (f"{name}.{key}" for key in _keys(inner))


def _starting(incomplete: str, names: Mapping[str, str]) -> Offers:
    return [(name, what) for name, what in names.items() if name.startswith(incomplete)]
