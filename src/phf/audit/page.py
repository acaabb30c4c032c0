"""The page of an audit."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from phf.report.html import render
from phf.report.origins import said_of
from phf.storage.files import write_text_atomic

RECORD, PAGE = "audit.json", "audit.html"


def write_page(record: Mapping[str, Any], path: Path) -> None:
    """Write the page of the content of `audit.json` atomically. Every text in it is escaped."""
    data = record["training_data"]
    traced = [(sample, said_of({**sample, "data": data})) for sample in record["origins"]]
    template = resources.files("phf.audit") / "audit.html.j2"
    write_text_atomic(
        path,
        render(
            template,
            scripts=("tables.js",),
            audit=record,
            traced=traced,
            occurrences=occurrences,
            settings=_settings(record),
        ),
    )


def occurrences(bounds: tuple[int, int]) -> str:
    """'1', '2 to 9', '10 to 99', ..."""
    low, high = bounds
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _settings(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of a table."""
    return [(key.replace("_", " "), str(value)) for key, value in record["settings"].items() if value is not None]
