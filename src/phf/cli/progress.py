"""The bars that long work shows in a terminal."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

from phf.text import counted, visible_text
from phf.workers.activity import current_activity, duration, watching

if TYPE_CHECKING:
    from phf.annotate.runner import Progress

SECONDS_BETWEEN_LINES = 30.0
"""Interval in a log file."""
METERED = (
    "lm_loss",
    "tokens_per_second",
    "seconds_left",
    "model_flops_utilization",
    "data_wait_share",
    "peak_memory_bytes",
)
"""Numbers of a training run that are shown, the most important first."""
LEAST_OF_A_PART = 12
WIDTH_OF_BAR = 34
"""Columns that a bar takes besides its description."""


def shows_bars(console: Console) -> bool:
    """Whether bars are drawn, rather than lines written; `--quiet` has neither."""
    return console.is_terminal and not console.quiet


@contextmanager
def scoring_progress(console: Console, title: str) -> Iterator[Callable[["Progress"], None]]:
    """A bar with what has been scored, the rate, what was unscored, and the time left; if the output is not a terminal,
    a line with these every `SECONDS_BETWEEN_LINES`."""
    if not shows_bars(console):
        lines = _ScoringLines(console, title)
        with _ticking(lines.line):
            yield lines.show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        bar = bars.add_task(title, total=None)

        def show(now: "Progress") -> None:
            total = None if now.fraction is None else 1
            bars.update(bar, description=f"{title}: {_scored(now)}", completed=now.fraction or 0, total=total)

        yield show


class _ScoringLines:
    """The last state, at intervals, even while one long document is scored."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._state = "0 documents"
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def show(self, now: "Progress") -> None:
        with self._lock:
            self._state = _scored(now)
        self.line()

    def line(self) -> None:
        """Print the state, if the last line was long enough ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._last >= SECONDS_BETWEEN_LINES:
                self._last = now
                self._console.print(f"{self._title}: {self._state}", soft_wrap=True, markup=False)


@contextmanager
def _ticking(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` periodically while the block runs."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.2):
            act()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _scored(now: "Progress") -> str:
    left = "" if now.seconds_left is None else f", {now.seconds_left:,.0f} s left"
    rate = now.num_chars / max(now.seconds, 1e-9)
    return f"{counted(now.num_documents, 'document')}, {rate:,.0f} characters/s, {now.num_unscored:,} unscored{left}"


@contextmanager
def heartbeat(console: Console, show: Callable[[str], None] | None = None) -> Iterator[None]:
    """While the block runs, the current activity of this process: a line every `SECONDS_BETWEEN_LINES`.

    `show`, on a terminal: called every second instead.
    """
    is_shown = show is not None and shows_bars(console)

    def act(text: str | None) -> None:
        if text is None:
            return
        if is_shown and show is not None:
            show(text)
        else:
            console.print(visible_text(text), markup=False, soft_wrap=True)

    with watching(act, 1.0 if is_shown else SECONDS_BETWEEN_LINES):
        yield


class TrainingProgress:
    """The activity of runs: `show` when one has completed a step, `doing` for everything else."""

    def show(self, name: str, step: int, max_steps: int, numbers: dict[str, float]) -> None:
        """A run is at `step`; `numbers` may hold some of `METERED`, or nothing new."""

    def doing(self, name: str, what: str) -> None:
        """A run does something other than steps: it packs, evaluates, exports."""

    def over(self, name: str) -> None:
        """Nothing more is reported of a run."""


@contextmanager
def training_progress(console: Console) -> Iterator[TrainingProgress]:
    """A bar for each run, with its loss and what its meter shows; if the output is not a terminal, a line for each at its
    first loss, and then every `SECONDS_BETWEEN_LINES`, during all activities."""
    if not shows_bars(console):
        lines = _TrainingLines(console)
        ended = threading.Event()
        thread = threading.Thread(target=lines.watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield lines
        finally:
            ended.set()
            thread.join()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(16), MofNCompleteColumn())
    with Bars(*columns, console=console) as bars:
        yield _TrainingBars(bars)


class _TrainingBars(TrainingProgress):
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._numbers: dict[str, dict[str, float]] = {}

    def show(self, name: str, step: int, max_steps: int, numbers: dict[str, float]) -> None:
        kept = self._numbers.setdefault(name, {})
        kept |= {key: value for key, value in numbers.items() if key in METERED}
        self._bars.update(self._task(name), completed=step, total=max_steps)
        self._describe(name, _metered(kept))

    def doing(self, name: str, what: str) -> None:
        self._describe(name, [what] if what else _metered(self._numbers.get(name, {})))

    def _describe(self, name: str, parts: list[str]) -> None:
        """The name, and as many of the parts as there is room for; the first one is cut if it must be."""
        space = self._bars.console.width - WIDTH_OF_BAR
        description = visible_text(name)
        for number, part in enumerate(map(visible_text, parts)):
            left = max(space - len(description) - 2, LEAST_OF_A_PART)
            if number and len(part) > left:
                break
            description += f"  {part if len(part) <= left else part[: left - 1] + '…'}"
        self._bars.update(self._task(name), description=description)

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(visible_text(name), total=None)
        return self._tasks[name]


@dataclass
class _State:
    """What is known about a run."""

    step: int = 0
    max_steps: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    doing: str = ""
    printed_at: float = -math.inf

    def line(self) -> str:
        doing = ": ".join(filter(None, [self.doing, current_activity()]))
        if not self.max_steps:
            return doing
        parts = [f"step {self.step:,}/{self.max_steps:,}", *_metered(self.numbers)]
        return ", ".join([*parts, doing] if doing else parts)


class _TrainingLines(TrainingProgress):
    """Lines for a log, of each run at its first loss and then every `SECONDS_BETWEEN_LINES`, even without news from it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}
        self._last = time.monotonic()

    def show(self, name: str, step: int, max_steps: int, numbers: dict[str, float]) -> None:
        with self._lock:
            state = self._states.setdefault(name, _State())
            state.step, state.max_steps, state.doing = step, max_steps, ""
            is_first = "lm_loss" in numbers and "lm_loss" not in state.numbers
            state.numbers |= {key: value for key, value in numbers.items() if key in METERED}
            if is_first:
                self._print(name, state)
        self._print_if_due()

    def doing(self, name: str, what: str) -> None:
        with self._lock:
            self._states.setdefault(name, _State()).doing = what
        self._print_if_due()

    def over(self, name: str) -> None:
        with self._lock:
            self._states.pop(name, None)

    def watch(self, ended: threading.Event) -> None:
        """Print what is due until the runs have ended."""
        while not ended.wait(min(1.0, SECONDS_BETWEEN_LINES)):
            self._print_if_due()

    def _print_if_due(self) -> None:
        with self._lock:
            if time.monotonic() - self._last < SECONDS_BETWEEN_LINES or not self._states:
                return
            self._last = time.monotonic()
            for name, state in self._states.items():
                if self._last - state.printed_at >= SECONDS_BETWEEN_LINES / 2:  # not its first loss, just now
                    self._print(name, state)

    def _print(self, name: str, state: _State) -> None:
        state.printed_at = time.monotonic()
        self._console.print(visible_text(f"{name}: {state.line()}"), soft_wrap=True, markup=False)


def _metered(numbers: dict[str, float]) -> list[str]:
    """The numbers of `METERED` that are known, in its order, in words."""
    words: dict[str, Callable[[float], str]] = {
        "lm_loss": lambda loss: f"loss {loss:.3f}",
        "tokens_per_second": lambda rate: f"{rate:,.0f} tokens/s",
        "seconds_left": lambda seconds: f"{duration(seconds)} left",
        "model_flops_utilization": lambda share: f"{share:.0%} utilisation",
        "data_wait_share": lambda share: f"{share:.1%} waiting for data",
        "peak_memory_bytes": lambda size: f"{size / 2**30:.1f} GiB",
    }
    return [words[key](numbers[key]) for key in METERED if key in numbers]
