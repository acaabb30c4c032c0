"""Credentials: the matches of scrubadub's `CredentialDetector.regex`, whose time grows with the cube of white space."""

import re
from collections.abc import Iterator

from phf.scorers.spans import Extent

# The parts of that pattern; where white space is optional twice in a row, it is matched once, as a whole.
_USER = re.compile(r"username|login|u:", re.IGNORECASE)
_GAP = re.compile(r"\s*+(?::\s*+)?+")
_NAME = re.compile(r"[\w\-\.@+]*+")
_SPACE = re.compile(r"\s*+")
_PASSWORD = re.compile(r"(?:password|pw|p:)\s*+:?+\s*+.*+", re.IGNORECASE)


def credentials(text: str) -> Iterator[Extent]:
    """Username and password, up to the end of its line. Takes time linear in the text."""
    name_end = -1
    after_name: re.Match[str] | None = None
    position = 0
    while (user := _USER.search(text, position)) is not None:
        position = user.start() + 1
        start = _end(_GAP, text, user.end())
        if start >= name_end:  # otherwise the name, wherever it begins, ends where the previous one does
            name_end = _end(_NAME, text, start)
            space_end = _end(_SPACE, text, name_end)
            after_name = _PASSWORD.match(text, space_end) if space_end > name_end else None
        password = after_name if name_end > start else None
        if password is None and text[start - 1].isspace():
            password = _PASSWORD.match(text, start)
        if password is not None:
            position = password.end()
            yield user.start(), position


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    assert match is not None
    return match.end()
