"""The agreement of scorers with people, on the terminal and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from phf.labels.label import Labels
from phf.reward.compare import Agreement
from phf.statistics import Interval
from phf.text import counted, tables_that_fit, visible

CHANCE = 0.5
NAMES = ("path_or_name", "model", "label")
"""Settings that distinguish scorers of one class."""


def agreement_json(agreements: Sequence[Agreement], labels: Labels, notes: Sequence[str]) -> dict[str, Any]:
    """The content of `agreement.json`."""
    return {
        "labels": {"kind": labels.kind, "count": len(labels.labels), "annotators": len(labels.annotators)},
        "notes": [*notes],
        "scorers": [agreement.to_json() for agreement in agreements],
    }


def show_agreements(agreements: Sequence[Agreement], labels: Labels, console: Console) -> None:
    """A row for each scorer, and the calibration of those that estimate ratings."""
    names = [_name(agreement) for agreement in agreements]
    has_ratings = labels.kind == "ratings"
    console.print(f"Labels: {len(labels.labels):,} {labels.kind}", soft_wrap=True)
    scorers = ["scorer", *(escape(name).replace(" ", "\n", 1) for name in names)]
    columns = [["texts" if has_ratings else "pairs", *(f"{agreement.num_scored:,}" for agreement in agreements)]]
    columns.append(["order as people", *(_in_two_lines(agreement.order) for agreement in agreements)])
    if len(agreements) > 1:
        columns.append(["against the first", *(_in_two_lines(one.difference, "+.3f") for one in agreements)])
    if has_ratings:
        columns.append(["score - rating", *(_in_two_lines(agreement.bias, "+.3f") for agreement in agreements)])
        errors = ("–" if agreement.ece is None else f"{agreement.ece:.3f}" for agreement in agreements)
        columns.append(["calibration error", *errors])
    for together in tables_that_fit(scorers, columns, console.width):
        table = Table(*(Column(title, overflow="fold") for title, *_ in together))
        for cells in list(zip(*together, strict=True))[1:]:
            table.add_row(*cells)
        console.print(table)
    for name, agreement in zip(names, agreements, strict=True):
        if agreement.calibration is not None:
            _show_calibration(name, agreement, console)
        for reason, count in agreement.unscored.items():
            line = f"{name}: {counted(count, 'text')} unscored, {visible(reason)}"
            console.print(line, style="yellow", markup=False, soft_wrap=True)
    console.print(
        "Order as people: share of pairs of texts that have the same order as their labels; 0.5 is chance. Intervals: 95%, "
        "over groups of labels with common texts, prompts or documents.",
        soft_wrap=True,
    )


def warnings_of_agreement(agreements: Sequence[Agreement]) -> list[str]:
    """What the user should know before a scorer is used."""
    return [
        f"{_name(agreement)}: its order {_problem(agreement.order)}"
        for agreement in agreements
        if not agreement.order.low > CHANCE
    ]


def _problem(order: Interval) -> str:
    if order.high < CHANCE:
        return (
            "is the opposite of people's on these labels. Its high scores are good ones, or --higher-is or higher_is_worse of "
            "the labels is wrong."
        )
    return "cannot be distinguished from chance on these labels."


def _show_calibration(name: str, agreement: Agreement, console: Console) -> None:
    table = Table(
        "from", "to", "texts", "mean score", "mean rating", title=f"Calibration of {escape(name)} (0 good, 1 bad)"
    )
    for row in agreement.calibration or ():
        if row.count:
            table.add_row(
                f"{row.low:.2f}", f"{row.high:.2f}", f"{row.count:,}", f"{row.predicted:.3f}", f"{row.observed:.3f}"
            )
    console.print(table)


def _name(agreement: Agreement) -> str:
    scorer = agreement.scorer
    settings = scorer.get("settings", {})
    return visible(" ".join([scorer["class_name"], *(str(settings[key]) for key in NAMES if key in settings)]))


def _in_two_lines(interval: Interval, form: str = ".3f") -> str:
    """For a narrow column."""
    return _interval(interval, form).replace(" (", "\n(")


def _interval(interval: Interval, form: str = ".3f") -> str:
    if math.isnan(interval.mean):
        return "–"
    mean, low, high = (format(value, form) for value in interval)
    return mean if math.isnan(interval.low) else f"{mean} ({low} to {high})"
