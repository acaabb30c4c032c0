"""Permitted names of spaCy models: `spacy.load` imports any installed package of that name and calls its `load`."""

from importlib.metadata import entry_points
from pathlib import Path


def is_spacy_model(name: str) -> bool:
    """Whether `name` is an installed package that is declared as a spaCy model, or the folder of one."""
    return name in entry_points(group="spacy_models").names or Path(name, "meta.json").is_file()
