"""The model of a run for others: its card."""

from collections.abc import Callable
from pathlib import Path

from phf.errors import PhfError
from phf.models.exporting.card import CardFacts, write_card
from phf.runs.layout import MODEL


def describe_model(run_dir: Path, announce: Callable[[str], None]) -> None:
    """Write the card of the exported model. What prevents it is reported: the model is there in any case."""
    try:
        write_card(run_dir / MODEL, CardFacts(run_dir.name))
    except (PhfError, OSError) as error:
        announce(f"The model card could not be written: {error}")
