"""Work divided over the processes of a job (`torchrun`, `accelerate launch`), each of which has the whole model.

It does not matter which process works on an item: each is worked on as by a process alone, with its own seed, and the
results are in the order of the items. An error in one process is raised in all, so none waits for the others; so is a signal
that asks one of them to stop.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from torch import distributed

from phf.errors import PeerError, PhfError
from phf.sampling.peers import Notice, StoredNotice, lost_peers
from phf.workers.activity import activity
from phf.workers.child import carried_error
from phf.workers.interruption import WorkInterrupted, interruptible
from phf.workers.parent import class_names

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=BaseException)


def _alone(value: Any) -> list[Any]:
    return [value]


@dataclass(frozen=True)
class Division:
    """The processes among which work is divided. All of them must call the same methods in the same order.

    Results travel between processes, so they must be small: numbers and texts, no weights.
    """

    index: int = 0
    """Number of this process."""
    count: int = 1
    exchange: Callable[[Any], list[Any]] = _alone
    """Called in every process with a value; returns the values of all, in the order of the processes."""
    notice: Notice = field(default_factory=Notice)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.index == 0

    def map(self, work: Callable[[T], R], items: Sequence[T], what: str, size: Callable[[T], int]) -> list[R]:
        """`work` of each item, in their order. Every n-th item is this process's.

        Items must be the same in all processes: what depends on rounding comes from `from_main`. Raises `WorkInterrupted`
        in all processes soon after a signal that is remembered (`phf.workers.interruption`).

        Args:
            what: the activity that is reported, for display.
            size: how many things an item has; the activity counts them.
        """
        indices = range(self.index, len(items), self.count)
        results: list[R] = []
        with _Attempt(self) as attempt, activity(what, sum(size(items[i]) for i in indices)) as advance:
            try:
                for i in indices:
                    with interruptible(self.notice.read):
                        results.append(work(items[i]))
                    advance(size(items[i]))
            except WorkInterrupted as interruption:
                self.notice.give(interruption.signum)
                raise
            attempt.result = results
        assert sum(map(len, attempt.results)) == len(items), "processes divided different work"
        return [attempt.results[i % self.count][i // self.count] for i in range(len(items))]

    def gather(self, work: Callable[[], R]) -> list[R]:
        """What `work` returns in each process, in all of them."""
        with _Attempt(self) as attempt:
            attempt.result = work()
        return attempt.results

    def from_main(self, work: Callable[[], R]) -> R:
        """What `work` returns in the main process, in all of them; the others wait."""
        with _Attempt(self) as attempt:
            if self.is_main:
                attempt.result = work()
        return attempt.results[0]

    def main_first(self, work: Callable[[], R]) -> R:
        """What `work` returns in each process: the main one goes first and fills the caches that the others read."""
        for is_turn in (self.is_main, not self.is_main):
            with self.together():
                if is_turn:
                    result = work()
        return result

    def together(self) -> "AbstractContextManager[Any]":
        """All processes leave this block together; what one raises in it, all raise."""
        return _Attempt(self)


ALONE = Division()
"""This process does all the work."""


def all_processes() -> Division:
    """Those that a launcher started and that have found each other; otherwise this one alone."""
    if not distributed.is_initialized():
        return ALONE
    return Division(distributed.get_rank(), distributed.get_world_size(), _exchange, StoredNotice())


def _exchange(value: Any) -> list[Any]:
    values: list[Any] = [None] * distributed.get_world_size()
    with lost_peers(len(values)):
        distributed.all_gather_object(values, value)
    return values


class _Attempt(AbstractContextManager["_Attempt"]):
    """A block in each process, whose results all processes know after it.

    What one raises, all raise; of several errors each its own, and an error rather than `WorkInterrupted`. Other
    interruptions are not exchanged, nor is an error that all have met already, or one that says that another process has
    ended.

    Attributes:
        result: set inside the block.
        results: of each process, after the block.
    """

    def __init__(self, division: Division) -> None:
        self._division = division
        self.result: Any = None
        self.results: list[Any] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_exchanged = error is None or (
            isinstance(error, Exception | WorkInterrupted)
            and not isinstance(error, PeerError)
            and not getattr(error, "is_shared", False)
        )
        if not is_exchanged:
            return
        signum = error.signum if isinstance(error, WorkInterrupted) else 0
        failure = None if error is None or signum else _described(error)
        outcomes = self._division.exchange((failure, signum, self.result))
        self.results = [result for _, _, result in outcomes]
        if failure is None:
            for process, (other, _, _) in enumerate(outcomes):
                if other is not None:
                    raise _failed(process, *other) from error
            if asked := max(asked for _, asked, _ in outcomes):  # the same in all processes
                if not isinstance(error, WorkInterrupted):
                    raise _shared(WorkInterrupted(asked), self._division)
                error.signum = asked
        if error is not None:
            _shared(error, self._division)


def _shared(error: E, division: Division) -> E:
    """The error, marked as one that all processes of a job have met."""
    error.is_shared = division.count > 1  # type: ignore[attr-defined]
    return error


def _described(error: BaseException) -> tuple[list[str], str]:
    names = class_names(error) if isinstance(error, PhfError) else []
    return names, str(error) if names else f"{type(error).__name__}: {error}"


def _failed(process: int, names: list[str], text: str) -> PhfError:
    """The error that another process met."""
    if not names:
        message = f"Process {process} of this job failed, and with it the job: {text} Its traceback says where."
        error: PhfError = PeerError(message)
    else:
        error = carried_error(names, text)
    error.is_shared = True
    return error
