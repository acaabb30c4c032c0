"""Sums of what has been logged since the last line of metrics.jsonl; part of each checkpoint.

Without them the first line after a resume would cover fewer steps than in an uninterrupted run.
"""

from pathlib import Path
from typing import Any

import torch

from phf.errors import CheckpointError
from phf.feedback.objectives.logs import LogTotals
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import LogWindow

FILE = "log_window_{}.json"
"""In a checkpoint, one for each process."""


def save_window(folder: Path, process: int, totals: LogTotals, loss: float, since: int) -> None:
    """Write the sums of one process: its `totals`, Trainer's running `loss`, and the step of the last line."""
    pairs = {name: pair for name, pair in totals.pairs().items() if pair[1] > 0}
    window = {"since": since, "loss": loss, "totals": pairs, "listed": True}
    write_json_atomic(folder / FILE.format(process), window, sync=False)


def promises_list(folder: Path) -> bool:
    """Whether the version that wrote this checkpoint wrote a list of its files too, at the end."""
    path = folder / FILE.format(0)
    try:
        return path.is_file() and read_json_as(LogWindow, path, CheckpointError).get("listed", False)
    except CheckpointError:
        return False


def load_window(
    folder: Path, process: int, num_processes: int, device: torch.device
) -> tuple[LogTotals, float, int] | None:
    """-> (totals, running loss, step of the last line) for this process; None for a checkpoint without them.

    If a different number of processes wrote them, the first one takes all totals and each takes the mean of the losses,
    which gives the same log.
    """
    saved: list[dict[str, Any]] = []
    while (folder / FILE.format(len(saved))).is_file():
        advice = "Delete it; the next line of the log then covers fewer steps."
        saved.append(read_json_as(LogWindow, folder / FILE.format(len(saved)), CheckpointError, advice, finite=True))
    if not saved:
        return None
    is_as_saved = len(saved) == num_processes
    parts = [saved[process]] if is_as_saved else saved
    totals = LogTotals()
    if is_as_saved or process == 0:
        for part in parts:
            totals_of_part = LogTotals()
            totals_of_part.set_pairs(part["totals"], device)
            totals.add(totals_of_part.totals)
    return totals, sum(part["loss"] for part in parts) / len(parts), saved[0]["since"]
