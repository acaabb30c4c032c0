"""The table of a refresh in a terminal of any width."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from phf.refresh.answer import Answer
from phf.refresh.settings import RefreshSettings
from phf.refresh.show import show_refresh

KEYS = ("generation/prompted/score", "generation/prompted/ProfanityScorer/score")


def numbers(mean):
    keys = ("kl/nats_per_sequence", "eval/loss", *KEYS)
    return {f"{key}{end}": mean + more for key in keys for end, more in (("", 0), ("_low", -1), ("_high", 1))}


def answer():
    samples = {"drawn": 1024, "used": 1000, "left_out": {"not scored": 20, "empty": 4}, "cut_off": 0}
    records = [
        {"round": 0, "numbers": numbers(-1000.1234), "samples": None, "training": None},
        {"round": 1, "numbers": numbers(-1234.5678), "samples": samples, "training": None},
    ]
    return Answer("mle", "runs/mle", "prompted", RefreshSettings(rounds=1), records, None, Path("model"))


@pytest.mark.parametrize("width", [60, 80, 300])
def test_no_column_is_broken(width):
    console = Console(width=width, record=True, file=StringIO())
    show_refresh(answer(), console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines[:-1])) <= width
    cells = {cell.strip() for line in lines for cell in line.split("│")}
    assert {"(-1,236 to -1,234)", "1,000 of 1,024", "20 not scored, 4 empty", "(result)"} <= cells
    headings = {cell.strip() for line in lines for cell in line.split("┃")}
    assert {"score,", "prompted", "prompted, ProfanityScorer", "held-out loss", "(nats/token)"} <= headings
    assert sum("round" in line for line in lines if "┃" in line) == {60: 4, 80: 3, 300: 1}[width]
