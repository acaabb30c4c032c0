"""Text of strangers made fit for a terminal and a page: nothing in it can move the cursor, change a colour or hide."""

import unicodedata

UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that are shown as escapes: controls, directions and joiners, surrogates, unassigned, separators."""


def visible(text: str, max_chars: int | None = None, *, keep: str = "") -> str:
    """`text` with every character that does not show itself as a Python escape (`\\x1b`, `\\u202e`, `\\n`).

    Cut after `max_chars` characters of the original, with "..." and the length of the whole. A backslash is escaped too,
    so that the text can be told from its escapes; `keep`: characters that stay as they are.
    """
    shown = "".join(_escaped(character, keep) for character in text[:max_chars])
    is_cut = max_chars is not None and len(text) > max_chars
    return f"{shown}... ({len(text):,} characters)" if is_cut else shown


def visible_text(text: str) -> str:
    """`visible`, but for lines, tabs and backslashes, which messages, paths and code are full of."""
    return visible(text, keep="\n\t\\")


def _escaped(character: str, keep: str) -> str:
    if character not in keep and (character == "\\" or unicodedata.category(character) in UNSEEN):
        return character.encode("unicode_escape").decode("ascii")
    return character
