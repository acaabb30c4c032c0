"""`docs/messages.md`: every message that the source can show, with the row of docs/troubleshooting.md that explains it."""

from collections.abc import Sequence

import explanations
import source_messages
from explanations import Row

INTRODUCTION = """# Messages

Every error and warning of `phf`, with its reason and what to do. On the site, paste yours into the field below; elsewhere,
search for a few words of it. `…` stands for what differs from case to case: names, numbers, or the message of a library.
They are grouped as in [troubleshooting](troubleshooting.md), which has the same reasons in short tables, and says how to read
a message. This page is generated from the source (`python docs/site/generate.py`).
"""


def page() -> str:
    texts = list(dict.fromkeys(message.text for message in source_messages.messages()))
    rows = explanations.rows()
    of_row: dict[Row | None, list[str]] = {row: [] for row in rows}
    for text, row in explanations.explained(texts, rows).items():
        of_row.setdefault(row, []).append(text)
    parts, section = [INTRODUCTION], ""
    for row in rows:
        if row.section != section:
            section = row.section
            parts.append(f"## {section}")
        parts += _entry(row, of_row[row])
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _entry(row: Row, texts: Sequence[str]) -> list[str]:
    """An explanation, and the messages that it is about."""
    heading = f"### {_code(row.quotations[0].strip())}"
    said = f"{_sentence(row.why)} **What to do:** {_sentence(row.remedy, capital=False)}"
    return [heading, said, "\n".join(f"- {_code(text)}" for text in sorted(texts))]


def _sentence(cell: str, *, capital: bool = True) -> str:
    """The text of a cell with a full stop, and a capital letter."""
    text = cell.replace("\\|", "|")
    start = text[0].upper() if capital else text[0]
    return start + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _code(text: str) -> str:
    """A span of code, on a page without tables."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
