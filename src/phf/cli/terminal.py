"""Output: results and messages to standard output, mistakes to standard error; for scripts as `speak` says."""

import io
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Column, Table

import phf
from phf.text import visible_text
from phf.workers.interruption import output_closed

NARROWEST, WIDTH = 10, 80
"""Columns below which a width means nothing, and the width then."""


class Stream(Console):
    """A console whose place can change: everybody holds the same one."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(highlight=False, emoji=False, stderr=stderr, quiet=quiet)
        if self.width < NARROWEST:  # as COLUMNS=0 says where the width is not known: nothing would be shown
            self.width = WIDTH

    def move(self, *, stderr: bool, quiet: bool) -> None:
        """Start again: whether there are colours depends on where it writes."""
        Stream.__init__(self, stderr=stderr, quiet=quiet)

    def on_broken_pipe(self) -> None:
        """The program that reads the output has ended: work that can be saved is saved."""
        output_closed(self.file.fileno())


console = Stream()
"""Progress and messages."""
results = Stream()
"""What a command was asked for: tables and conclusions."""
errors = Stream(stderr=True)

LEAST_OF_A_COLUMN = 12
"""Characters that the names of rows leave for a column."""
BORDERS = 3
"""Characters between two columns."""
BARS_OF_LIBRARIES = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
"""Variables that leave out the progress bars of libraries, which write control codes into logs."""
PROBLEMS = ("yellow", "bold red")
"""Styles of what the user should not miss: `--quiet` does not silence it."""
problems: list[str] = []
"""What was said in such a style since the command began."""


def show_any_character() -> None:
    """Standard output and error show characters that their encoding lacks, as escapes, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(errors="backslashreplace")


def speak(*, quiet: bool = False, as_json: bool = False) -> None:
    """Choose the places of output when a command begins.

    `quiet`: no progress and no messages; problems go to standard error. `as_json`: standard output is for one JSON object, in
    place of tables and conclusions, and everything else goes to standard error.
    """
    console.move(stderr=as_json, quiet=quiet)
    results.move(stderr=as_json, quiet=as_json)
    problems.clear()
    if quiet or not errors.is_terminal:
        for name in BARS_OF_LIBRARIES:
            os.environ.setdefault(name, "1")


def messages_aside() -> None:
    """From now on progress and messages go to standard error: the result is a file of its own."""
    console.move(stderr=True, quiet=console.quiet)


def say(message: str, style: str | None = None) -> None:
    """One message, literally: no markup, and no additional line breaks in text that a reader may copy."""
    is_problem = style in PROBLEMS
    if is_problem:
        problems.append(message)
    _print(errors if is_problem and console.quiet else console, message, style)


def say_result(message: str, style: str | None = None) -> None:
    """One sentence of what the command was asked for, literally."""
    _print(results, message, style)


def say_next(where: str | None, *commands: tuple[str, str]) -> None:
    """The last line, or lines: where the result is, and what usually comes next, as (command, what it does)."""
    if where is not None:
        say(where)
    for number, (command, what) in enumerate(commands):
        comma = "," if number + 1 < len(commands) else ""
        say(f"{'      ' if number else 'Next: '}{command}  ({what}){comma}")


def _print(to: Console, message: str, style: str | None) -> None:
    to.print(visible_text(message), style=style, markup=False, soft_wrap=True)


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


def numbers_table(columns: Mapping[str, Mapping[str, float | None]], width: int, title: str = "metric") -> Group:
    """Model -> metric -> number, as a row for each metric and a column for each model."""
    texts = {
        name: {key: "" if value is None else number(value) for key, value in numbers.items()}
        for name, numbers in columns.items()
    }
    return columns_table(texts, width, title)


def columns_table(columns: Mapping[str, Mapping[str, str]], width: int, title: str) -> Group:
    """Name of a column -> name of a row -> cell; as many tables below one another as `width` makes necessary, nothing cut."""
    rows = list(dict.fromkeys(key for cells in columns.values() for key in cells))
    first = min(max(map(len, [title, *rows])), width - LEAST_OF_A_COLUMN - 2 * BORDERS)
    space = width - 1 - first - BORDERS
    tables: list[dict[str, int]] = [{}]
    for name, cells in columns.items():
        words = [min(len(word), space - BORDERS) for word in shown(name).split()]
        least = max([len(cell) for cell in cells.values()] + words + [0])
        if tables[-1] and sum(tables[-1].values()) + least + BORDERS * (len(tables[-1]) + 1) > space:
            tables.append({})
        tables[-1][name] = least
    shown_tables = []
    for widths in tables:
        left = max(0, space - sum(widths.values()) - BORDERS * len(widths))
        table = Table(Column(title, width=first, overflow="fold"))
        for name, least in widths.items():
            more = min(max(0, len(name) - least), left)
            left -= more
            table.add_column(shown(name), width=least + more, overflow="fold")
        for row in rows:
            table.add_row(shown(row), *(shown(columns[name].get(row, "")) for name in widths))
        shown_tables.append(table)
    return Group(*shown_tables)


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
