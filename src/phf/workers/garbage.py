"""How often Python looks for garbage in cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 100_000
"""Python's own number is 700 (2,000 from 3.13 on)."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """In this block Python looks for cycles after `NEW_OBJECTS` new lists and the like, rather than after every 700.

    Where millions of lists are made and none of them is in a cycle, looking is a fifth of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
