"""Bars in a terminal, lines in a log."""

import time
from io import StringIO

import pytest
from rich.console import Console

from phf.annotate.runner import Progress
from phf.cli import progress
from phf.cli.progress import scoring_progress
from phf.workers.activity import activity

NOW = Progress(num_documents=1500, num_chars=30_000, num_unscored=2, seconds=10.0, fraction=0.25)
LINE = "Scoring: 1,500 documents, 3,000 characters/s, 2 unscored, 30 s left"


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, f"{LINE}\n{LINE}\n"), (3600.0, "")])
def test_a_log_gets_whole_lines_at_intervals(monkeypatch, seconds, expected):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", seconds)
    console = Console(file=StringIO(), width=40, highlight=False)
    with scoring_progress(console, "Scoring") as show:
        show(NOW)
        show(NOW)
    assert console.file.getvalue() == expected


def test_a_log_is_not_silent_during_one_long_document(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.1)
    console = Console(file=StringIO(), width=40, highlight=False)
    with scoring_progress(console, "Scoring"):
        deadline = time.monotonic() + 30
        while console.file.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert console.file.getvalue().startswith("Scoring: 0 documents\nScoring: 0 documents\n")


def test_a_terminal_gets_a_bar():
    console = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
    with scoring_progress(console, "Scoring") as show:
        show(NOW)
    assert LINE in console.file.getvalue()
    assert "25%" in console.file.getvalue()


def test_a_log_of_training_says_how_far_it_is_and_what_the_meter_shows(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=StringIO(), width=40, highlight=False)
    lines = progress._TrainingLines(console)
    metered = {"model_flops_utilization": 0.384, "data_wait_share": 0.0012, "peak_memory_bytes": 1.5 * 2**30}
    for step, seconds, numbers in (
        (0, 0, {"generation/x/score": 1.0}),
        (1, 10, {"lm_loss": 5.5, "tokens_per_second": 1234.5}),  # the first loss is shown at once
        (2, 10, {"lm_loss": 5.25}),
        (3, 15, {"seconds_left": 11_520.0, **metered}),
        (4, 2, {"seconds_left": 11_000.0}),
    ):
        now[0] += seconds
        lines.show("mine", step, 1000, numbers)
    assert console.file.getvalue() == (
        "mine: step 1/1,000, loss 5.500, 1,234 tokens/s\n"
        "mine: step 3/1,000, loss 5.250, 1,234 tokens/s, 3.2 h left, 38% utilisation, 0.1% waiting for data, 1.5 GiB\n"
    )


def test_a_log_of_training_has_the_first_loss_once_however_long_it_took(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=StringIO(), width=40, highlight=False)
    lines = progress._TrainingLines(console)
    now[0] += 20
    lines.doing("other", "packing")
    now[0] += 20  # a line of each run is due
    for _ in range(2):
        lines.show("mine", 1, 1000, {"lm_loss": 5.5})
        now[0] += 1
    assert console.file.getvalue() == "mine: step 1/1,000, loss 5.500\nother: packing\n"


def test_a_log_of_training_leaves_out_a_run_that_is_over(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=StringIO(), width=40, highlight=False)
    lines = progress._TrainingLines(console)
    lines.doing("round 1", "measuring")
    lines.over("round 1")
    now[0] += 40
    lines.doing("round 2", "sampling")
    assert console.file.getvalue() == "round 2: sampling\n"


def test_a_bar_shows_as_many_numbers_as_its_terminal_has_room_for():
    shown = {}
    for width in (60, 80, 200):
        console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
        with progress.training_progress(console) as bars:
            bars.show("mine", 2, 8, {"lm_loss": 5.5, "tokens_per_second": 1234.0, "data_wait_share": 0.5})
        shown[width] = [part in console.file.getvalue() for part in ("loss 5.500", "1,234 tokens/s", "50.0% waiting")]
    assert shown == {60: [True, False, False], 80: [True, True, False], 200: [True, True, True]}


def test_a_log_of_training_is_not_silent_while_no_step_is_made(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    console = Console(file=StringIO(), width=40, highlight=False)
    with progress.training_progress(console) as lines:
        lines.doing("mine", "packing: 3 documents")
        deadline = time.monotonic() + 10
        while console.file.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        lines.show("mine", 2, 8, {})
        lines.doing("mine", "sampling")
        while "sampling" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    written = console.file.getvalue()
    assert written.count("mine: packing: 3 documents\n") >= 2
    assert "mine: step 2/8, sampling\n" in written


def test_a_log_says_what_is_done_while_no_step_is_made_instead_of_the_last_step_alone(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=StringIO(), width=40, highlight=False)
    lines = progress._TrainingLines(console)
    lines.show("mine", 8, 8, {"lm_loss": 5.5})
    with activity("sampling 's'", 1000) as advance:
        now[0] += 40
        advance(250)
        lines.doing("mine", "")
    assert console.file.getvalue().splitlines()[1] == (
        "mine: step 8/8, loss 5.500, sampling 's', 250 of 1,000, 40 s, 6.25/s, 2 min left"
    )


def test_a_bar_gets_its_numbers_back_when_an_activity_is_over():
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with progress.training_progress(console) as bars:
        bars.show("mine", 2, 8, {"lm_loss": 5.5})
        (task,) = bars._bars.tasks
        bars.doing("mine", "sampling a scenario with a name that is too long for what is left")
        assert task.description == "mine  sampling a scenario with a name that is…"
        bars.doing("mine", "")
        assert task.description == "mine  loss 5.500"


def test_names_of_runs_and_activities_do_not_steer_the_terminal():
    log = Console(file=StringIO(), width=40, highlight=False)
    progress._TrainingLines(log).show("a\x1b]0;x\x07", 1, 8, {"lm_loss": 5.5})
    assert log.file.getvalue() == "a\\x1b]0;x\\x07: step 1/8, loss 5.500\n"
    terminal = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
    with progress.training_progress(terminal) as bars:
        bars.show("a\x1b]0;x\x07", 1, 8, {"lm_loss": 5.5})
        bars.doing("a\x1b]0;x\x07", "sampling \x1b]0;y\x07")
    assert "a\\x1b]0;x\\x07  sampling \\x1b]0;y\\x07" in terminal.file.getvalue()
    assert "\x1b]0;" not in terminal.file.getvalue()


def test_a_terminal_gets_a_bar_for_each_run():
    console = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
    with progress.training_progress(console) as bars:
        bars.doing("mine", "packing: 3 documents")
        bars.show("mine", 2, 8, {"lm_loss": 5.5})
        bars.show("mine", 3, 8, {"tokens_per_second": 10.0})
    assert "mine  loss 5.500  10 tokens/s" in console.file.getvalue()
    assert "3/8" in console.file.getvalue()
