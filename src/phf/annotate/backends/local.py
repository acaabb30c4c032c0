"""The local backend: worker processes that are replaced when they die or hang, on one machine."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from phf.annotate.corpus_piece import CorpusPiece, PieceResult
from phf.annotate.job import Job
from phf.errors import PhfError, ScorerError
from phf.scorers import build_scorer
from phf.workers.child import Child, ready

DEATHS_OF_A_PIECE = 2
"""After this many deaths of its worker a piece is scored document by document, to find the one that kills it."""
DEATHS_AT_A_DOCUMENT = 3
"""After this many deaths at the same document, scored alone, the document is left unscored."""
MOST_DEATHS_OF_A_PIECE = 30
MOST_DEATHS_BETWEEN_DOCUMENTS = 5
"""Before the first document of a piece or after the last one: no document is to blame, and trying again is useless."""
TICK_SECONDS = 0.5

Scored = tuple[CorpusPiece, PieceResult]


def score_here(job: Job, pieces: Iterator[CorpusPiece]) -> Iterator[Scored]:
    """Score in this process, one piece after the other: no time limit, and a scorer that crashes ends the job."""
    # numpy comes with it, which a process that only deals out work does not need
    from phf.annotate.scoring import read_and_score

    scorers = {column: build_scorer(config) for column, config in job.scorers.items()}
    for piece in pieces:
        yield piece, read_and_score(piece, job, scorers)


def score_in_processes(job: Job, pieces: Iterator[CorpusPiece], workers: int, num_gpus: int = 0) -> Iterator[Scored]:
    """Results as they finish; worker i has the GPU i modulo `num_gpus`.

    At most two pieces per worker are in memory. Of several errors the first one in the corpus is raised, whichever worker fails
    first.
    """
    pool = [_Worker(job, number % num_gpus if num_gpus else None) for number in range(workers)]
    try:
        yield from _deal_out(pieces, pool)
    finally:
        for worker in pool:
            worker.stop()


def _deal_out(pieces: Iterator[CorpusPiece], pool: list["_Worker"]) -> Iterator[Scored]:
    waiting: deque[_Assignment] = deque()
    failed: tuple[int, PhfError] | None = None
    is_exhausted = False
    count = 0
    while True:
        _assign(waiting, pool)
        while not is_exhausted and len(waiting) < len(pool):
            try:
                piece = next(pieces, None)
            except PhfError as problem:
                failed, piece = (count, problem), None
            is_exhausted = piece is None
            if piece is not None:
                _spawn_one(pool)
                waiting.append(_Assignment(count, piece))
                count += 1
                _assign(waiting, pool)  # reading ahead must not keep a worker waiting
        busy = [worker for worker in pool if worker.assignment is not None]
        if failed is not None:
            number, error = failed
            unread = [a for a in waiting if a.number < number]
            unread += [w.assignment for w in busy if w.assignment and w.assignment.number < number and not w.has_read]
            if not unread:
                raise error
        if not busy and not waiting:
            return
        for worker in _ready(busy):
            assignment = worker.assignment
            assert assignment is not None
            try:
                if (result := worker.read()) is not None:
                    yield assignment.piece, result
            except PhfError as problem:
                if failed is None or assignment.number < failed[0]:
                    failed = assignment.number, problem
                is_exhausted = True
                waiting = deque(other for other in waiting if other.number < failed[0])
                worker.assignment = None
                worker.stop()
        for worker in busy:
            if worker.assignment is not None and (reason := worker.failure()) is not None:
                waiting.appendleft(worker.give_up(reason))


def _assign(waiting: deque["_Assignment"], pool: list["_Worker"]) -> None:
    for worker in pool:
        if worker.assignment is None and waiting:
            worker.start(waiting.popleft())


class Supervisor:
    """One worker process that scores piece after piece, and is replaced as `score_in_processes` does."""

    def __init__(self, job: Job) -> None:
        self._worker = _Worker(job, None)

    def score(self, piece: CorpusPiece) -> PieceResult:
        """The piece's result, when it is done."""
        worker = self._worker
        worker.start(_Assignment(0, piece))
        while True:
            if _ready([worker]) and (result := worker.read()) is not None:
                return result
            if (reason := worker.failure()) is not None:
                worker.start(worker.give_up(reason))

    def stop(self) -> None:
        """End the process."""
        self._worker.assignment = None
        self._worker.stop()


def _spawn_one(pool: list["_Worker"]) -> None:
    """Start one more process while the first pieces are read; work sent to it waits until it is ready."""
    for worker in pool:
        if worker.child is None:
            worker.spawn()
            return


@dataclass
class _Assignment:
    """A piece that is being processed by the workers, and its failures."""

    number: int
    """Number of the piece, in the order of the corpus."""
    piece: CorpusPiece
    skipped: dict[int, str] = field(default_factory=dict)
    one_by_one: bool = False
    deaths: int = 0
    deaths_at: dict[int | None, int] = field(default_factory=dict)

    def failed(self, at: int | None, reason: str, is_timeout: bool) -> None:
        """Decide how to try again, after the worker failed while scoring document number `at`."""
        if is_timeout and self.one_by_one and at is not None:
            self.skipped[at] = reason
        elif is_timeout:
            self.one_by_one = True
        else:
            self.deaths += 1
            if self.one_by_one or at is None:
                self.deaths_at[at] = self.deaths_at.get(at, 0) + 1
                if at is not None and self.deaths_at[at] >= DEATHS_AT_A_DOCUMENT:
                    self.skipped[at] = reason
            self.one_by_one = self.one_by_one or self.deaths >= DEATHS_OF_A_PIECE


class _Worker:
    """A process, started when there is work for it."""

    def __init__(self, job: Job, gpu: int | None) -> None:
        self.job = job
        self.gpu = gpu
        self.assignment: _Assignment | None = None
        self.child: Child | None = None
        self.has_read = False
        """Whether the documents of the assignment have been read."""
        self._at: int | None = None
        self._last_answer = 0.0

    def spawn(self) -> None:
        self.child = Child("phf.annotate.backends.worker", _environment(self.gpu))
        job = self.job
        settings = {
            "scorers": job.scorers,
            "segmenter": job.segmenter,
            "output": str(job.output),
            "options": None if job.options is None else job.options.settings(),
            "is_strict": job.is_strict,
            "path": sys.path,
        }
        self.child.send(settings)

    def start(self, assignment: _Assignment) -> None:
        self.assignment = assignment
        self.has_read, self._at = False, None
        self._last_answer = time.monotonic()
        if self.child is None:
            self.spawn()
        assert self.child is not None
        piece = assignment.piece
        how = {"piece": piece.to_json(), "skipped": assignment.skipped, "one_by_one": assignment.one_by_one}
        self.child.send(how, piece.documents_bytes())

    def read(self) -> PieceResult | None:
        """Handle the process's answers; returns the result if the piece is done."""
        assert self.child is not None
        for answer in self.child.read():
            self._last_answer = time.monotonic()
            if "result" in answer:
                self.assignment = None
                return PieceResult(**answer["result"])
            self.has_read = True
            self._at = answer.get("at", self._at)
        return None

    def failure(self) -> str | None:
        """Why the process cannot continue; None while it can."""
        assert self.child is not None
        limit = self.job.time_limit
        if limit is not None and self._at is not None and time.monotonic() - self._last_answer > limit:
            return f"took longer than {limit:g} s"
        status = self.child.exit_status()
        return None if status is None else f"worker died ({status})"

    def give_up(self, reason: str) -> _Assignment:
        """Kill the process and hand the piece back, to be tried again."""
        assert self.assignment is not None
        is_timeout = reason.startswith("took")
        assignment, self.assignment = self.assignment, None
        between = assignment.deaths_at.get(None, 0)
        if assignment.deaths >= MOST_DEATHS_OF_A_PIECE or between >= MOST_DEATHS_BETWEEN_DOCUMENTS:
            raise ScorerError(
                f"The worker that scores {assignment.piece.name} has died {assignment.deaths} times, last time: {reason}. "
                "Its output is above; finished work is kept."
            )
        assignment.failed(self._at, reason, is_timeout)
        self.stop()
        return assignment

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()
        self.child = None


def _ready(busy: list[_Worker]) -> list[_Worker]:
    """The workers that have answered, after at most one tick."""
    answering = ready([worker.child for worker in busy if worker.child is not None], TICK_SECONDS)
    return [worker for worker in busy if worker.child in answering]


def _environment(gpu: int | None) -> dict[str, str]:
    if gpu is None:
        return {}
    # visible GPUs are counted from 0, but have the names that the machine, or a scheduler, gives them
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[gpu] if len(visible) > gpu and visible[gpu] else str(gpu)}
