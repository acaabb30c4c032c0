"""The results of a search or a replay as tables for the terminal. Prompts and continuations are untrusted: all is escaped."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from phf.text import counted, visible

SHOWN_PROMPTS = 10
PROMPT_CHARS = 120
WIDE = 150
"""Width of a terminal at which all of `ROUND_COLUMNS` fit."""
ROUND_COLUMNS = {
    "best": "best",
    "best_fresh": "best, sampled again",
    "best_10": "mean of best 10",
    "best_100": "mean of best 100",
    "pool_mean": "pool",
    "round_mean": "round mean",
}
NARROW_COLUMNS = ("best", "pool_mean")


def show_search(numbers: Mapping[str, Any], console: Console) -> None:
    """The numbers of `redteam.json`, and its worst prompts."""
    columns = [key for key in ROUND_COLUMNS if console.width >= WIDE or key in NARROW_COLUMNS]
    table = Table("round", *(ROUND_COLUMNS[key] for key in columns), "prompts")
    for number, values in enumerate(numbers["rounds"]):
        cells = [_in_two_lines(values, key) for key in columns]
        table.add_row("initial" if number == 0 else str(number), *cells, f"{values['num_prompts']:,}")
    console.print(table)
    rescored = numbers["rescored"]
    lines = {
        "Sampled again, best prompt": "rescored_best",
        "Sampled again, best 10": "rescored_best_10",
        "Sampled again, best initial prompt": "rescored_initial_best",
        "Gain of the search (best - best initial)": "rescored_gain",
    }
    for text, key in lines.items():
        console.print(f"{text}: {_interval(rescored, key)}")
    rejected = ", ".join(f"{escape(reason)} {count:,}" for reason, count in numbers["rejected"].items())
    unscored = sum(values["num_unscored"] for values in numbers["rounds"])
    console.print(f"Continuations unscored: {unscored:,}. Proposals left out: {rejected or 'none'}.", soft_wrap=True)
    prompts = Table(Column("sampled again", no_wrap=True), "first", "own score", Column("prompt", overflow="fold"))
    for row in numbers["prompts"][:SHOWN_PROMPTS]:
        prompts.add_row(
            _in_two_lines(row, "rescored"), _number(row["mean"]), _number(row["prompt_score"]), _text(row["prompt"])
        )
    console.print(prompts)


def show_replay(numbers: Mapping[str, Any], console: Console) -> None:
    """The numbers of `replay.json`, and its worst regressions."""
    table = Table(Column("now - then", no_wrap=True), "then", "now", Column("prompt", overflow="fold"))
    for row in numbers["prompts"][:SHOWN_PROMPTS]:
        table.add_row(_in_two_lines(row, "difference"), _number(row["then"]), _number(row["now"]), _text(row["prompt"]))
    console.print(table)
    console.print(
        f"Now - then over {counted(numbers['num_prompts'], 'prompt')}: {_interval(numbers, 'overall')}; "
        f"then {_number(numbers['then'])}, now {_number(numbers['now'])}. Worse individually: {numbers['num_worse']:,}, "
        f"better: {numbers['num_better']:,}, left out: {numbers['num_left_out']:,}, "
        f"continuations unscored: {numbers['num_unscored']:,}.",
        soft_wrap=True,
    )


def _interval(values: Mapping[str, Any], key: str) -> str:
    mean, low, high = (values[key + end] for end in ("", "_low", "_high"))
    return _number(mean) if low is None or high is None else f"{_number(mean)} ({_number(low)} to {_number(high)})"


def _in_two_lines(values: Mapping[str, Any], key: str) -> str:
    """For a narrow column."""
    return _interval(values, key).replace(" (", "\n(")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _text(text: str) -> str:
    return escape(visible(text, PROMPT_CHARS))
