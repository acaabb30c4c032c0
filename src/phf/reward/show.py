"""A reward model's numbers on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from phf.reward.run import FEW_HELD_OUT
from phf.text import counted


def show_reward(record: Mapping[str, Any], console: Console) -> None:
    """The content of `reward.json` as sentences and tables."""
    labels, held_out = record["labels"], record["held_out"]
    left_out = ", ".join(f"{reason}: {count:,}" for reason, count in labels["left_out"].items())
    lines = [
        f"Labels: {labels['count']:,} {labels['kind']}" + (f"; left out: {left_out}" if left_out else ""),
        f"Contradictory: {labels['contradictory']:,}. Repeated: {labels['repeated']:,}.",
        f"Trained on {record['num_train']:,}, held out {held_out['num_labels']:,}, without a common text",
    ]
    if record["num_cut"]:
        lines.append(
            f"Longer than {record['settings']['max_length']} tokens and cut at their start in training: "
            f"{counted(record['num_cut'], 'text')} (--max-length)"
        )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
    curve = Table("training labels", "held-out accuracy", "calibration error", "loss", title="Learning curve")
    for point in record["curve"]:
        curve.add_row(f"{point['num_labels']:,}", _accuracy(point), f"{point['ece']:.3f}", f"{point['loss']:.3f}")
    console.print(curve)
    title = (
        "Calibration: predicted and observed mean rating (0 good, 1 bad)"
        if labels["kind"] == "ratings"
        else "Calibration: predicted probability of the more likely choice, share of right ones"
    )
    table = Table("from", "to", "labels", "predicted", "observed", title=title)
    for row in held_out["calibration"]:
        if row["count"]:
            table.add_row(
                f"{row['low']:.2f}",
                f"{row['high']:.2f}",
                f"{row['count']:,}",
                f"{row['predicted']:.3f}",
                f"{row['observed']:.3f}",
            )
    console.print(table)
    baseline = "unknown" if held_out["baseline"] is None else f"{held_out['baseline']:.3f}"
    console.print(f"Accuracy of a constant answer: {baseline}", soft_wrap=True)
    console.print(record["meaning"], soft_wrap=True, markup=False)


def warnings_of(record: Mapping[str, Any]) -> list[str]:
    """What the user should know before the scores are used."""
    held_out = record["held_out"]
    warnings = []
    low, baseline = held_out["accuracy_low"], held_out["baseline"]
    if low is None or baseline is None or low <= baseline:
        warnings.append(
            "The held-out accuracy cannot be distinguished from that of a constant answer: collect more labels, train "
            "longer (--epochs, --learning-rate), or use a larger base model."
        )
    if held_out["num_decided"] < FEW_HELD_OUT:
        warnings.append(
            f"Only {held_out['num_decided']} held-out labels measure the accuracy, so its interval is wide."
        )
    return warnings


def _accuracy(point: Mapping[str, Any]) -> str:
    if point["accuracy"] is None:
        return "–"
    if point["accuracy_low"] is None:
        return f"{point['accuracy']:.3f}"
    return f"{point['accuracy']:.3f} ({point['accuracy_low']:.3f} to {point['accuracy_high']:.3f})"
