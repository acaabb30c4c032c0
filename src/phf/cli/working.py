"""What commands show while they work without steps to count: the current activity, and the rounds of a red team."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from phf.cli import progress
from phf.cli.progress import shows_bars
from phf.cli.terminal import shown
from phf.text import visible_text
from phf.workers.activity import duration, watching

if TYPE_CHECKING:
    from phf.config import Config

DETAIL_CHARS = 60
"""Characters of an activity beside a bar."""


@contextmanager
def working(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """While the block runs: on a terminal one line with the title and the current activity, with its rate and the time left;
    in a log such a line every `SECONDS_BETWEEN_LINES`.

    Yields a function that replaces the title.
    """
    titles = [title]
    has_bars = shows_bars(console)
    with console.status(f"{shown(title)}...") if has_bars else nullcontext() as status:

        def act(activity: str | None) -> None:
            text = titles[-1] if activity is None else f"{titles[-1]}: {activity}"
            if status is not None:
                status.update(f"{shown(text)}...")
            else:
                console.print(visible_text(text), markup=False, soft_wrap=True)

        with watching(act, 1.0 if has_bars else progress.SECONDS_BETWEEN_LINES):
            yield lambda text: titles.__setitem__(0, text)


@contextmanager
def redteam_progress(console: Console, config: "Config") -> Iterator[Callable[[int, int, float | None], None]]:
    """The rounds of all trials, with the best mean score of the trial so far, the time left and the current activity: a bar,
    or in a log a line every `SECONDS_BETWEEN_LINES`. Raises `ConfigError` for a task that has no section `redteam`."""
    from phf.redteam.folder import configured

    settings = configured(config)
    a_trial = settings.num_rounds + 2  # with the initial round and the rescoring
    total = settings.num_trials * a_trial
    rounds = _Rounds(total)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(16), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) if shows_bars(console) else nullcontext() as bars:
        bar = None if bars is None else bars.add_task("Red team", total=total)

        def act(activity: str | None) -> None:
            text = visible_text(rounds.text(activity))
            if bars is not None and bar is not None:
                bars.update(bar, description=text[:DETAIL_CHARS], completed=rounds.done)
            else:
                console.print(f"Red team: {text}", markup=False, soft_wrap=True)

        def show(trial: int, number: int, best: float | None) -> None:
            rounds.reached(trial * a_trial + number, f"trial {trial + 1}, round {number}", best)
            if bars is not None:
                act(None)

        with watching(act, 1.0 if bars is not None else progress.SECONDS_BETWEEN_LINES):
            yield show


class _Rounds:
    """Where a search is."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._name, self._best = "preparing", ""
        self._first: tuple[int, float] | None = None

    def reached(self, done: int, name: str, best: float | None) -> None:
        self.done, self._name = done, name
        self._best = "" if best is None else f"best {best:.4g}"
        self._first = self._first or (done, time.monotonic())

    def text(self, activity: str | None) -> str:
        return ", ".join(filter(None, [self._name, self._best, self._left(), activity]))

    def _left(self) -> str:
        if self._first is None or self.done == self._first[0]:
            return ""
        done, start = self._first
        a_round = (time.monotonic() - start) / (self.done - done)
        return f"about {duration(a_round * (self.total - self.done))} left"
