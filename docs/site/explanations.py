"""The rows of docs/troubleshooting.md, and which of them explains a message."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "troubleshooting.md"
END = "## No message"
"""From this section on, the tables are not about messages."""
HEADING = re.compile(r"## (.+)")
ROW = re.compile(r"\| (`.*?`(?:, `.*?`)*)(?: \(a warning\))? \| (.*?) \| (.*) \|")


@dataclass(frozen=True)
class Row:
    """An explanation: quotations from messages, in which `…` is anything, why, and what to do."""

    section: str
    quotations: tuple[str, ...]
    why: str
    remedy: str


def rows() -> list[Row]:
    """Every row of the tables of messages, in the order of the page."""
    found, section = [], ""
    for line in PAGE.read_text(encoding="utf-8").partition(END)[0].splitlines():
        if heading := HEADING.fullmatch(line):
            section = heading[1]
        if row := ROW.fullmatch(line):
            quotations = re.findall(r"`([^`]+)`", row[1].replace("\\|", "|"))
            found.append(Row(section, tuple(quotations), row[2], row[3]))
    return found


def occurs(quotation: str, message: str) -> bool:
    """Whether the parts of a quotation between its ellipses follow each other in a message."""
    return _pattern(quotation).search(message) is not None


@functools.cache
def _pattern(quotation: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, quotation.split("…"))), re.DOTALL)


def explains(row: Row, message: str) -> bool:
    """Whether a row quotes something of a message."""
    return any(occurs(quotation, message) for quotation in row.quotations)


def explained(messages: Sequence[str], among: Sequence[Row]) -> dict[str, Row | None]:
    """Message -> the row about it; of several, the one that is about the fewest messages."""
    about = [(row, [message for message in messages if explains(row, message)]) for row in among]
    found: dict[str, Row | None] = dict.fromkeys(messages)
    for row, of_row in sorted(about, key=lambda pair: len(pair[1]), reverse=True):
        found |= dict.fromkeys(of_row, row)
    return found
