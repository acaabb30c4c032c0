"""Output: results and messages to standard output, mistakes and warnings to standard error."""

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

import phf
from phf.text import visible_text

console = Console(highlight=False, emoji=False)
errors = Console(highlight=False, emoji=False, stderr=True)


def say(message: str, style: str | None = None) -> None:
    """One message, literally: no markup, and no additional line breaks in text that a reader may copy."""
    console.print(visible_text(message), style=style, markup=False, soft_wrap=True)


def shown(text: str) -> str:
    """Untrusted text for a table or a status line of rich, without markup."""
    return escape(visible_text(text))


def show_error(message: str) -> None:
    """A mistake of the user, on standard error."""
    errors.print(f"[bold red]Error:[/] {shown(message)}", soft_wrap=True)


def number(value: float | None) -> str:
    """Four significant digits, large numbers whole; a dash for what was not measured."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def numbers_table(columns: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Model -> metric -> number, as a row for each metric and a column for each model."""
    table = Table(Column("metric", no_wrap=True), *map(shown, columns))
    for key in dict.fromkeys(key for numbers in columns.values() for key in numbers):
        table.add_row(
            shown(key), *(number(column[key]) if column.get(key) is not None else "" for column in columns.values())
        )
    return table


def quiet() -> None:
    """Make libraries print problems and nothing else."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """In this block our warnings show only their text: the line of the source means nothing to the user."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_plainly(
            message: Warning | str, category: type[Warning], filename: str, *more: Any, **named: Any
        ) -> None:
            if category is UserWarning and Path(filename).is_relative_to(Path(phf.__file__).parent):
                errors.print(visible_text(str(message)), style="yellow", markup=False, soft_wrap=True)
            else:
                show(message, category, filename, *more, **named)

        warnings.showwarning = show_plainly
        yield
