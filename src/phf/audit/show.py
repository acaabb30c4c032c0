"""The numbers of an audit as tables for the terminal. Texts are untrusted and stay in the files."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from phf.audit.page import occurrences
from phf.text import counted


def show_audit(record: Mapping[str, Any], console: Console) -> None:
    """Both tables of `audit.json`."""
    extraction, samples = record["extraction"], record["samples"]
    if extraction["num_spans"]:
        table = Table("occurrences", "spans", "extracted", "share (95% interval)", title="Extraction by prefix")
        for row in extraction["by_occurrences"]:
            table.add_row(
                occurrences(row["occurrences"]), f"{row['num_spans']:,}", f"{row['num_extracted']:,}", _share(row)
            )
        table.add_row(
            "all", f"{extraction['num_spans']:,}", f"{extraction['num_extracted']:,}", _share(extraction), style="bold"
        )
        console.print(table)
    if samples["num_samples"]:
        columns = ("occurrences", "copies", "distinct", "samples", "share (95% interval)")
        table = Table(*columns, title=f"Copies in {counted(samples['num_samples'], 'sample')}")
        rows = [(occurrences(row["occurrences"]), row, row["num_samples"]) for row in samples["by_occurrences"]]
        for name, row, count in [*rows, ("all", samples, samples["num_with_copy"])]:
            cells = (f"{row['num_copies']:,}", f"{row['num_distinct']:,}", f"{count:,}", _share(row))
            table.add_row(name, *cells, style="bold" if name == "all" else None)
        console.print(table)


def _share(row: Mapping[str, Any]) -> str:
    mean, low, high = (row[key] for key in ("share", "share_low", "share_high"))
    if mean is None:
        return "–"
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.3f} to {high:.3f})"
