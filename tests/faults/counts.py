"""How many cases are tried, and the table in docs/reliability.md of how many were."""

import datetime
import fcntl
import os
import platform
from collections.abc import Mapping
from pathlib import Path

FULL = os.environ.get("PHF_FAULTS") == "full"
"""Whether all cases are tried (`make faults`), or a few of each kind, in a few seconds (`make test`)."""
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- begin: faults -->", "<!-- end: faults -->"


def num_cases(full: int, short: int) -> int:
    """Number of cases to try."""
    return full if FULL else short


def write_counts(counted: Mapping[str, tuple[int, str]]) -> None:
    """Write the rows of what was counted between the two markers of the page; rows of other tests, and processes, stay."""
    with PAGE.open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        content = _with_rows(page.read(), counted)
        page.seek(0)
        page.write(content)
        page.truncate()


def _with_rows(page: str, counted: Mapping[str, tuple[int, str]]) -> str:
    (before, table), after = page.split(BEGIN), page.split(END)[1]
    rows = dict(row.strip("| ").split(" | ", 1) for row in table.split(END)[0].splitlines() if row.startswith("| "))
    day, python = datetime.date.today(), platform.python_version()
    rows |= {what: f"{cases:,} | {outcome} | {day}, Python {python}" for what, (cases, outcome) in counted.items()}
    head = ["| what was done | cases | outcome | when |", "|---|---|---|---|"]
    rows.pop("what was done", None)
    lines = [*head, *(f"| {what} | {rest} |" for what, rest in sorted(rows.items()))]
    return before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after
