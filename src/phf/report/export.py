"""The figures and tables of a report as files: CSV for each, and SVG and PNG of each figure."""

import csv
import importlib.util
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from phf.errors import MissingExtraError
from phf.report.charts import Chart
from phf.report.png import write_png
from phf.report.svg import draw, standalone
from phf.storage.files import write_text_atomic, writing
from phf.text import visible

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these is a formula to a spreadsheet."""


def check_can_export(to: Path) -> None:
    """Make the folder. Raises `MissingExtraError` without the library that draws PNG, `OutputError` for no folder."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("phf report --export", "matplotlib", "report")
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)


def export(
    named_charts: Iterable[tuple[str, Chart]], tables: Iterable[tuple[str, Sequence[dict[str, Any]]]], to: Path
) -> int:
    """Write `<name>.csv`, `.svg` and `.png` of each chart, and `<name>.csv` of each table, into the folder; returns how many.

    Charts are written with all their points, also those that the page leaves out. Files of an earlier export of the same
    names are replaced; others are left alone.
    """
    check_can_export(to)
    taken: set[str] = set()
    count = 0
    for name, chart in named_charts:
        file = to / _file_name(name, taken)
        write_text_atomic(file.with_suffix(".csv"), csv_text(_rows(chart)))
        write_text_atomic(file.with_suffix(".svg"), standalone(draw(chart)))
        write_png(chart, file.with_suffix(".png"))
        count += 3
    for name, rows in tables:
        if rows:
            write_text_atomic((to / _file_name(name, taken)).with_suffix(".csv"), csv_text(rows))
            count += 1
    return count


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """A header and the rows; empty for what is not known, lines end with a line feed."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
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
