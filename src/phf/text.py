"""Untrusted text made safe for a terminal and a page: nothing in it can move the cursor, change a colour or be invisible."""

import unicodedata
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that are shown as escapes: controls, directions and joiners, surrogates, unassigned, separators."""
MASK = "•"
"""What stands for a letter or digit of a masked text."""


def visible(text: str, max_chars: int | None = None, *, keep: str = "") -> str:
    """`text` with every invisible character as a Python escape (`\\x1b`, `\\u202e`, `\\n`).

    Truncated after `max_chars` characters of the original, with "..." and the full length. A backslash is escaped too,
    so that text and escapes can be distinguished; `keep`: characters that are not escaped.
    """
    escaped = "".join(_escaped(character, keep) for character in text[:max_chars])
    is_cut = max_chars is not None and len(text) > max_chars
    return f"{escaped}... ({len(text):,} characters)" if is_cut else escaped


def visible_text(text: str) -> str:
    """`visible`, except that line breaks, tabs and backslashes are kept, as messages, paths and code contain many."""
    return visible(text, keep="\n\t\\")


def masked(text: str) -> str:
    """`text` with every letter and digit replaced: its shape and length are left, and nothing that identifies anyone."""
    return "".join(MASK if character.isalnum() else character for character in text)


def code_span(text: object) -> str:
    """A span of code in Markdown, on one line, that nothing in `text` can end."""
    line = " ".join(visible_text(str(text)).split()).replace("`", "'")
    return f"`{line or ' '}`"


def table_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown that nothing in the cells can end."""
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def tables_that_fit(first: Sequence[str], columns: Sequence[Sequence[str]], width: int) -> list[list[Sequence[str]]]:
    """The columns of each of as many tables with borders as `width` makes necessary: `first`, and the next ones as far as
    they fit without breaking a line of their titles and cells."""
    tables = [[first]]
    for column in columns:
        if len(tables[-1]) > 1 and _bordered([*tables[-1], column]) > width:
            tables.append([first])
        tables[-1].append(column)
    return tables


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`count` with its noun: "1 document", "2,000 documents"; `plural` where that is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _bordered(columns: Sequence[Sequence[str]]) -> int:
    """Width of a table of these, in cells of a terminal."""
    return 1 + sum(3 + max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns)


def _escaped(character: str, keep: str) -> str:
    if character not in keep and (character == "\\" or unicodedata.category(character) in UNSEEN):
        return character.encode("unicode_escape").decode("ascii")
    return character
