"""Where an answer comes from: the segments of a dataset that are most like it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Any

from phf.audit.repeats import TracedSample
from phf.errors import ConfigError, PhfError
from phf.playground.answers import Answer
from phf.playground.data import ModelData
from phf.runs.reader import Sample

SHOW_EVERY = 0.2
"""Seconds between two states that are shown."""


class SearchStoppedError(PhfError):
    """Time is up, or nobody waits for the result any longer."""


@dataclass(frozen=True)
class Search:
    """A search, as far as it is."""

    seconds: float
    origin: dict[str, Any] | None = None
    """As in `phf.report.origins.Origins`, once it is finished."""
    problem: str | None = None


def search(
    data: ModelData, prompt: str, answer: Answer, *, max_seconds: float, now: Callable[[], float] = time.monotonic
) -> Iterator[Search]:
    """The state of the search for where an answer comes from, again and again, the last time when it has ended.

    It ends after `max_seconds`, and when the iterator is closed.
    """
    started, is_closed = now(), Event()

    def check() -> None:
        if is_closed.is_set() or now() - started > max_seconds:
            raise SearchStoppedError

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(data.finder.find, [TracedSample("playground", 0, _sample(prompt, answer))], check)
        try:
            while not running.done():
                yield Search(now() - started)
                wait([running], SHOW_EVERY)
        finally:
            is_closed.set()
    try:
        origins = running.result()
        if not origins:
            raise ConfigError("The text is empty, so there is nothing to look for.")
        yield Search(now() - started, {**origins[0], "data": data.data.to_json()})
    except SearchStoppedError:
        limit = f"The search did not end within {max_seconds:g} seconds and was stopped. Raise --max-seconds."
        yield Search(now() - started, problem=limit)
    except PhfError as error:
        yield Search(now() - started, problem=str(error))


def _sample(prompt: str, answer: Answer) -> Sample:
    """The text as it was scored."""
    return Sample(
        prompt,
        answer.text,
        answer.score,
        [segment.text for segment in answer.segments],
        [segment.score for segment in answer.segments],
        [[(span.start, span.end, span.label) for span in segment.spans] for segment in answer.segments],
    )
