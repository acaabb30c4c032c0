"""The rounds of a refresh as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from phf.refresh.answer import Answer, row, score_name
from phf.report.html import format_number
from phf.statistics import Interval
from phf.text import counted, tables_that_fit, visible_text


def show_refresh(answer: Answer, console: Console) -> None:
    """One row for each round, in as many tables as the width makes necessary, and what became of it all."""
    rows = [row(answer, record) for record in answer.records]
    rounds = ["round", *(f"{values['name']}\n(result)" if values["is_result"] else values["name"] for values in rows)]
    columns = [["KL from start\n(nats)", *(_interval(values["kl"]) for values in rows)]]
    for key in answer.score_keys:
        name = f"score,\n{escape(visible_text(score_name(key)))}"
        columns.append([name, *(_interval(values["scores"][key]) for values in rows)])
    columns.append(["held-out loss\n(nats/token)", *(_interval(values["loss"]) for values in rows)])
    columns.append(["samples\ntrained on", *map(_used, rows)])
    columns.append(["left out", *(escape(values["left_out"]) for values in rows)])
    for together in tables_that_fit(rounds, columns, console.width):
        table = Table(*(Column(title, overflow="fold") for title, *_ in together))
        for cells in list(zip(*together, strict=True))[1:]:
            table.add_row(*cells)
        console.print(table)
    console.print(answer.verdict, soft_wrap=True, markup=False)


def _used(values: Mapping[str, Any]) -> str:
    samples = values["samples"]
    return "" if samples is None else f"{samples['used']:,} of {samples['drawn']:,}"


def notes_of(answer: Answer) -> list[str]:
    """What the reader should know about the rounds."""
    notes = []
    rounds = [record for record in answer.records if record["samples"] is not None]
    cut, drawn = (sum(record["samples"][key] for record in rounds if record["samples"]) for key in ("cut_off", "drawn"))  # type: ignore[literal-required]
    if cut:
        notes.append(
            f"Cut off at the greatest length: {cut:,} of {counted(drawn, 'sample')}. Such samples are trained on as "
            "documents that end there, so the model learns to end texts there too; longer samples (generate_kwargs of the "
            "scenario) have less of this."
        )
    if answer.settings.max_kl is None:
        notes.append("No bound on KL was set; --max-kl NATS ends a refresh that goes too far.")
    return notes


def _interval(interval: Interval) -> str:
    mean = format_number(interval.mean)
    has_bounds = interval.low == interval.low and interval.low != interval.high
    return f"{mean}\n({format_number(interval.low)} to {format_number(interval.high)})" if has_bounds else mean
