"""Detections as spans of a text."""

from collections.abc import Iterable

Span = tuple[int, int]
"""First character and the one after the last."""


def count_merged(spans: Iterable[Span]) -> int:
    """How many detections are left when those that overlap or touch are one, as scrubadub merges them."""
    count = 0
    reached = -1
    for begin, end in sorted(spans):
        count += begin > reached
        reached = max(reached, end)
    return count
