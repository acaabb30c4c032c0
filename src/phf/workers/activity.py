"""The current activity of this process: long work reports what it does and its progress, for display."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
SECONDS_UNTIL_RATE = 1.0
"""Seconds after which a rate means something."""


@dataclass
class Activity:
    """Work that takes a while."""

    text: str
    total: int | None = None
    """How many items there are; None if that is not known."""
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())

    def advance(self, count: int = 1) -> None:
        """`count` more items are done."""
        self.done += count

    def __str__(self) -> str:
        if self.total is None:
            return self.text
        spent = time.monotonic() - self.started
        minutes, seconds = divmod(int(spent), 60)
        parts = [
            self.text,
            f"{self.done:,} of {self.total:,}",
            f"{minutes} min {seconds} s" if minutes else f"{seconds} s",
        ]
        if self.done and spent >= SECONDS_UNTIL_RATE:
            rate = self.done / spent
            parts += [f"{rate:.3g}/s" if rate < 1000 else f"{rate:,.0f}/s"]
            parts += [f"{duration((self.total - self.done) / rate)} left"] if self.done < self.total else []
        return ", ".join(parts)


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


@contextmanager
def watching(show: Callable[[str | None], None], seconds: float) -> Iterator[None]:
    """While the block runs, call `show` with the current activity every `seconds`, in a thread of its own."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            show(current_activity())

    thread = threading.Thread(target=watch, name="phf activity", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def duration(seconds: float) -> str:
    """A time in words, in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def watched(batches: Iterable[Sequence[T]], text: str, total: int) -> Iterator[Sequence[T]]:
    """The same batches, one after the other, while an activity reports how many of the `total` items are done."""
    with activity(text, total) as advance:
        for batch in batches:
            yield batch
            advance(len(batch))
