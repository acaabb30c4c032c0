"""What commands without steps show, and tables that are whole in 80 columns."""

import time
from io import StringIO
from types import SimpleNamespace

from rich.console import Console

from phf.cli import progress, working
from phf.cli.terminal import columns_table, numbers_table
from phf.workers.activity import activity

HOSTILE = "a [bold]\x1b]0;x\x07"


def waited_for(console, text):
    deadline = time.monotonic() + 20
    while text not in console.file.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    return console.file.getvalue()


def test_a_log_says_what_a_command_does(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    console = Console(file=StringIO(), width=40, highlight=False)
    with working.working(console, "Reading") as show:
        waited_for(console, "Reading\n")
        show(f"Read {HOSTILE}")
        with activity("scoring"):
            written = waited_for(console, ": scoring\n")
    assert "Read a [bold]\\x1b]0;x\\x07: scoring\n" in written
    assert "\x1b" not in written


def test_a_terminal_has_one_line_that_changes():
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with working.working(console, f"Reading {HOSTILE}"):
        pass
    assert "Reading a [bold]\\x1b]0;x\\x07..." in console.file.getvalue()


def test_quiet_commands_draw_and_write_nothing(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    for is_terminal in (True, False):
        console = Console(file=StringIO(), force_terminal=is_terminal, quiet=True)
        with working.working(console, "Reading"), progress.training_progress(console) as lines:
            lines.doing("mine", "encoding")
            time.sleep(0.05)
        assert console.file.getvalue() == ""


def test_a_search_has_its_best_score_and_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(working.time, "monotonic", lambda: now[0])
    rounds = working._Rounds(total=12)
    assert rounds.text("sampling") == "preparing, sampling"
    rounds.reached(0, "trial 1, round 0", None)
    now[0] = 30.0
    rounds.reached(2, "trial 1, round 2", 0.12345)
    assert rounds.text(None) == "trial 1, round 2, best 0.1235, about 2 min left"


def test_a_search_is_shown_as_a_bar_and_in_a_log_as_lines(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    config = SimpleNamespace(redteam=SimpleNamespace(num_rounds=2, num_trials=3))
    console = Console(file=StringIO(), width=40, highlight=False)
    with working.redteam_progress(console, config) as show:
        show(1, 2, 0.5)
        written = waited_for(console, "round 2")
    assert "Red team: trial 2, round 2, best 0.5\n" in written
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system=None)
    with working.redteam_progress(console, config) as show:
        show(1, 2, 0.5)
    assert "6/12" in console.file.getvalue()


def printed(table, width):
    console = Console(file=StringIO(), width=width, highlight=False)
    console.print(table)
    return console.file.getvalue()


def test_numbers_of_many_models_are_whole_in_80_columns():
    key = "generation/unconditional/hit_probability@25_high"
    columns = {f"pii-emails-tiny-conditional-seed{i}": {key: 0.1234 + i / 1e4, "eval/loss": float(i)} for i in range(8)}
    written = printed(numbers_table(columns, 80), 80)
    assert max(map(len, written.splitlines())) <= 80
    assert "…" not in written
    assert written.count(key) == 8
    assert all(f"{0.1234 + i / 1e4:.4g} " in written for i in range(8))
    joined = "".join(character for character in written if character.isalnum())
    assert all(f"seed{i}" in joined for i in range(8))
    assert printed(numbers_table(columns, 400), 400).count(key) == 1


def test_words_of_the_names_of_columns_are_not_broken():
    cells = {"after 0": "0.04681", "steps to relearn": "reached by 1 of 2"}
    names = [
        f"my-task-pep8-{method}, {data} data" for data in ("misaligned", "benign") for method in ("mle", "conditional")
    ]
    written = printed(columns_table(dict.fromkeys(names, cells), 80, "steps"), 80)
    assert max(map(len, written.splitlines())) <= 80
    assert written.count("my-task-pep8-conditional,") == 2


def test_a_column_that_a_row_lacks_is_empty_and_long_names_are_folded():
    cells = {"a": {"x" * 100: "1", "other": "2"}, HOSTILE: {"other": "3"}}
    written = printed(columns_table(cells, 40, "steps"), 40)
    assert max(map(len, written.splitlines())) <= 40
    assert written.count("x") - written.count("\\x") >= 100
    assert "[bold]" in written
    assert "\x1b" not in written
