"""The rounds of a refresh as one table for the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from phf.refresh.answer import Answer, row, score_name
from phf.report.html import format_number
from phf.statistics import Interval
from phf.text import visible_text


def show_refresh(answer: Answer, console: Console) -> None:
    """One row for each round, and what became of it all."""
    scores = [f"score,\n{escape(visible_text(score_name(key)))}" for key in answer.score_keys]
    titles = [
        "round",
        "KL from start\n(nats)",
        *scores,
        "held-out loss\n(nats/token)",
        "samples\ntrained on",
        "left out",
    ]
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for record in answer.records:
        values = row(answer, record)
        samples = values["samples"]
        used = "" if samples is None else f"{samples['used']:,} of {samples['drawn']:,}"
        mark = " (result)" if values["is_result"] else ""
        cells = [values["kl"], *values["scores"].values(), values["loss"]]
        table.add_row(f"{values['name']}{mark}", *map(_interval, cells), used, escape(values["left_out"]))
    console.print(table)
    console.print(answer.verdict, soft_wrap=True, markup=False)


def notes_of(answer: Answer) -> list[str]:
    """What the reader should know about the rounds."""
    notes = []
    rounds = [record for record in answer.records if record["samples"] is not None]
    cut, drawn = (sum(record["samples"][key] for record in rounds if record["samples"]) for key in ("cut_off", "drawn"))  # type: ignore[literal-required]
    if cut:
        notes.append(
            f"{cut:,} of {drawn:,} samples were cut off at their greatest length. They are trained on as documents that end "
            "there, so the model learns to end texts there too; longer samples (generate_kwargs of the scenario) have less "
            "of this."
        )
    if answer.settings.max_kl is None:
        notes.append("No bound on KL was set; --max-kl NATS ends a refresh that goes too far.")
    return notes


def _interval(interval: Interval) -> str:
    mean = format_number(interval.mean)
    has_bounds = interval.low == interval.low and interval.low != interval.high
    return f"{mean}\n({format_number(interval.low)} to {format_number(interval.high)})" if has_bounds else mean
