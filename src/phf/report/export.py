"""The figures and tables of a page as files: CSV for each, and SVG and PNG of each figure."""

import csv
import importlib.util
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phf.errors import MissingExtraError
from phf.report.charts import Chart
from phf.report.png import write_png
from phf.report.svg import standalone
from phf.storage.files import remove_remains, write_text_atomic, writing
from phf.text import visible

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these is a formula to a spreadsheet."""


def check_can_export(command: str, to: Path | None) -> None:
    """Make the folder, if there is one. Raises `MissingExtraError` without the library that draws PNG, `OutputError` where it
    cannot be made."""
    if to is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(f"{command} --export", "matplotlib", "report")
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    remove_remains(to)


def export(
    named_charts: Iterable[tuple[str, Chart]], tables: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], to: Path
) -> int:
    """Write `<name>.csv`, `.svg` and `.png` of each chart, and `<name>.csv` of each table, into the folder; returns how many.

    Charts are written with all their points, also those that the page leaves out. A value with its interval, which is a tuple
    in a table, becomes three columns. Files of an earlier export of the same names are replaced; others are left alone.
    """
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    count = 0
    for name, chart in named_charts:
        file = to / _file_name(name, taken)
        write_text_atomic(file.with_suffix(".csv"), csv_text(_rows(chart)))
        write_text_atomic(file.with_suffix(".svg"), standalone(chart))
        write_png(chart, file.with_suffix(".png"))
        count += 3
    for name, rows in tables:
        if rows:
            write_text_atomic((to / _file_name(name, taken)).with_suffix(".csv"), csv_text([flat(row) for row in rows]))
            count += 1
    return count


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with each interval, (value, low, high), as three values: `key`, `key_low` and `key_high`."""
    return {
        name: value
        for key, cell in row.items()
        for name, value in (
            zip((key, f"{key}_low", f"{key}_high"), cell, strict=True) if isinstance(cell, tuple) else [(key, cell)]
        )
    }


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """A header and the rows, with every column that any has; what is not known is empty. Lines end with a line feed."""
    file = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Text without control characters, which no spreadsheet takes for a formula; None for numbers that are not finite."""
    if isinstance(value, str):
        text = visible(value, keep="\\")
        return f"'{text}" if text.startswith(FORMULAS) else text
    return None if isinstance(value, float) and value - value != 0 else value


def _rows(chart: Chart) -> list[dict[str, Any]]:
    return [
        {
            "series": series.name,
            chart.x_label: chart.name_of(point.x) or point.x,
            chart.y_label: point.y,
            "low": point.low,
            "high": point.high,
            "x low": point.x_low,
            "x high": point.x_high,
            "note": series.note,
        }
        for series in chart.series
        for point in series.points
    ]


def _file_name(name: str, taken: set[str]) -> str:
    """Lower-case words joined by hyphens, numbered if it was taken already."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "figure"
    number = next(n for n in range(1, len(taken) + 2) if (words if n == 1 else f"{words}-{n}") not in taken)
    file = words if number == 1 else f"{words}-{number}"
    taken.add(file)
    return file
