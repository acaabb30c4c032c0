"""The bars that long work shows in a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from phf.annotate.runner import Progress
    from phf.config import Config

SECONDS_BETWEEN_LINES = 30.0
"""In a log file, which nobody watches."""


@contextmanager
def scoring_progress(console: Console, title: str) -> Iterator[Callable[["Progress"], None]]:
    """A bar with what has been scored, the rate, what was unscored, and the time left; where the output is no terminal,
    a line of that every `SECONDS_BETWEEN_LINES`."""
    if not console.is_terminal:
        next_line = time.monotonic() + SECONDS_BETWEEN_LINES

        def log(now: "Progress") -> None:
            nonlocal next_line
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + SECONDS_BETWEEN_LINES
                console.print(f"{title}: {_scored(now)}", soft_wrap=True)

        yield log
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        bar = bars.add_task(title, total=None)

        def show(now: "Progress") -> None:
            total = None if now.fraction is None else 1
            bars.update(bar, description=f"{title}: {_scored(now)}", completed=now.fraction or 0, total=total)

        yield show


def _scored(now: "Progress") -> str:
    left = "" if now.seconds_left is None else f", {now.seconds_left:,.0f} s left"
    rate = now.num_chars / max(now.seconds, 1e-9)
    return f"{now.num_documents:,} documents, {rate:,.0f} characters/s, {now.num_unscored:,} unscored{left}"


@contextmanager
def redteam_progress(console: Console, config: "Config") -> Iterator[Callable[[int, int, float | None], None]]:
    """A bar over the rounds of all trials, with the best mean score of the trial so far."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("Red team", total=None)

        def show(trial: int, number: int, best: float | None) -> None:
            assert config.redteam is not None
            a_trial = config.redteam.num_rounds + 2  # with the initial round and the rescoring
            text = f"Trial {trial + 1}, round {number}" + ("" if best is None else f", best {best:.4g}")
            bars.update(
                bar, description=text, completed=trial * a_trial + number, total=config.redteam.num_trials * a_trial
            )

        yield show


@contextmanager
def training_progress(console: Console) -> Iterator[Callable[[str, int, int, dict[str, float]], None]]:
    """A bar for each run, with its loss and speed."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}

        def show(name: str, step: int, max_steps: int, numbers: dict[str, float]) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=None)
            loss, rate = numbers.get("lm_loss"), numbers.get("tokens_per_second")
            text = name + (f"  loss {loss:.3f}" if loss is not None else "")
            text += f"  {rate:,.0f} tokens/s" if rate is not None else ""
            progress.update(bars[name], completed=step, total=max_steps, description=text)

        yield show
