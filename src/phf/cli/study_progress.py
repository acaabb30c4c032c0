"""The bars of `phf study`: all runs together, and each run in progress."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from phf.cli.progress import SECONDS_BETWEEN_LINES, shows_bars
from phf.text import counted, visible_text
from phf.workers.activity import duration

if TYPE_CHECKING:
    from phf.study.execute import Progress


class StudyProgress:
    """A line every `SECONDS_BETWEEN_LINES`, for a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def doing(self, what: str) -> None:
        """What is done before runs are started."""
        self._line(what)

    def show(self, now: "Progress") -> None:
        """Where the runs are."""
        running = ", ".join(f"{name} {share:.0%}" for name, share in now.running.items())
        self._line(f"{summary(now)}; running: {running or 'none'}")

    def _line(self, text: str) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(visible_text(text), markup=False, soft_wrap=True)


class _StudyBars(StudyProgress):
    """Bars, for a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._all = bars.add_task("preparing", total=1)
        self._tasks: dict[str, TaskID] = {}

    def doing(self, what: str) -> None:
        self._bars.update(self._all, description=what)

    def show(self, now: "Progress") -> None:
        self._bars.update(self._all, description=summary(now), completed=now.share)
        for name in self._tasks.keys() - now.running.keys():
            self._bars.remove_task(self._tasks.pop(name))
        for name, share in now.running.items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(f"  {name}", total=1)
            self._bars.update(self._tasks[name], completed=share)


def summary(now: "Progress") -> str:
    """ "3 of 18 runs finished, 1 failed, 24% of the work done, 40 min left"."""
    parts = [f"{now.finished} of {counted(now.total, 'run')} finished"]
    if now.failed:
        parts.append(f"{now.failed} failed")
    parts.append(f"{now.share:.0%} of the work done")
    if now.seconds_left is not None:
        parts.append(f"about {duration(now.seconds_left)} left")
    return ", ".join(parts)


@contextmanager
def study_progress(console: Console) -> Iterator[StudyProgress]:
    """A bar for the study and one for each run in progress; if the output is not a terminal, a line from time to time."""
    if not shows_bars(console):
        yield StudyProgress(console)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        yield _StudyBars(bars)
