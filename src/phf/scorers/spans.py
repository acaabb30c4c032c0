"""Detections as spans of a text."""

from collections.abc import Iterable
from typing import NamedTuple

Extent = tuple[int, int]
"""Offsets of the first character and of the one after the last."""


class Span(NamedTuple):
    """One thing that a scorer found in a text."""

    start: int
    """First character, from 0."""
    end: int
    """The character after the last one."""
    label: str
    """What found it: a detector, an entity type, a code of pycodestyle."""


def count_merged(intervals: Iterable[Extent]) -> int:
    """How many detections remain when those that overlap or touch are merged, as in scrubadub."""
    count = 0
    reached = -1
    for begin, end in sorted(intervals):
        count += begin > reached
        reached = max(reached, end)
    return count


class TooMuchWorkError(Exception):
    """A text that would take too long; says what it has too much of."""


class Work:
    """Counts characters that are examined again for each of many different items, and raises at `MOST`.

    It counts characters, not seconds: whether a text is scored must not depend on the machine.
    """

    MOST = 1_000_000_000

    def __init__(self, what: str) -> None:
        self.what = what
        self.done = 0

    def add(self, num_chars: int) -> None:
        """Raises `TooMuchWorkError` if it is too much."""
        self.done += num_chars
        if self.done > self.MOST:
            raise TooMuchWorkError(self.what)
