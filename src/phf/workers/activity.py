"""The current activity of this process: long work reports what it does and its progress, for display."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Activity:
    """Work that takes a while."""

    text: str
    total: int | None = None
    """How many items there are; None if that is not known."""
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, count: int = 1) -> None:
        """`count` more items are done."""
        self.done += count

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        spent = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        return self.text if self.total is None else f"{self.text}, {self.done:,} of {self.total:,}, {spent}"


_running: list[Activity] = []


@contextmanager
def activity(text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Report what the block does; it gets a function to call with the number of finished items."""
    own = Activity(text, total)
    _running.append(own)
    try:
        yield own.advance
    finally:
        _running.remove(own)


def current_activity() -> str | None:
    """The current activity, the whole first and then its parts; None if none was reported."""
    return ": ".join(map(str, list(_running))) or None


def watched(batches: Iterable[Sequence[T]], text: str, total: int) -> Iterator[Sequence[T]]:
    """The same batches, one after the other, while an activity reports how many of the `total` items are done."""
    with activity(text, total) as advance:
        for batch in batches:
            yield batch
            advance(len(batch))
