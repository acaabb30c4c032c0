"""Bars in a terminal, lines in a log."""

from io import StringIO

import pytest
from rich.console import Console

from phf import progress
from phf.annotate.runner import Progress
from phf.progress import scoring_progress

NOW = Progress(num_documents=1500, num_chars=30_000, num_unscored=2, seconds=10.0, fraction=0.25)
LINE = "Scoring: 1,500 documents, 3,000 characters/s, 2 unscored, 30 s left"


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, f"{LINE}\n{LINE}\n"), (3600.0, "")])
def test_a_log_gets_whole_lines_now_and_then(monkeypatch, seconds, expected):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", seconds)
    console = Console(file=StringIO(), width=40, highlight=False)
    with scoring_progress(console, "Scoring") as show:
        show(NOW)
        show(NOW)
    assert console.file.getvalue() == expected


def test_a_terminal_gets_a_bar():
    console = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
    with scoring_progress(console, "Scoring") as show:
        show(NOW)
    assert LINE in console.file.getvalue()
    assert "25%" in console.file.getvalue()
