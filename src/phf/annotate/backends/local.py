"""The local backend: worker processes that are replaced when they die or hang, on one machine."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf import errors
from phf.annotate.shard import ShardResult, ShardTask, score_shard
from phf.corpus.formats.row_policy import ReadOptions
from phf.errors import OutputError, PhfError, ScorerError
from phf.scorers import build_scorer

DEATHS_OF_A_SHARD = 2
"""After so many deaths of its worker a shard is scored document by document, to find out which one kills."""
DEATHS_AT_A_DOCUMENT = 3
"""After so many deaths at the same document, scored alone, the document is left unscored."""
MOST_DEATHS_OF_A_SHARD = 30
MOST_DEATHS_BETWEEN_DOCUMENTS = 5
"""Before the first document of a shard or after the last one: no document is to blame, and trying again is no use."""
TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """What every worker needs to know."""

    scorers: dict[str, dict[str, Any]]
    """column of scores -> scorer section of a configuration"""
    segmenter: str
    output: Path
    time_limit: float | None = None
    """Seconds that a document, or a batch of short ones, may take before its worker is replaced; None: for ever."""
    options: ReadOptions | None = None
    """How the corpus is read; None: by the defaults."""
    is_strict: bool = True
    """Whether a row that cannot be read ends the job."""


def score_here(job: Job, tasks: Iterator[ShardTask]) -> Iterator[ShardResult]:
    """Score in this process, one shard after the other: no time limit, and a scorer that dies takes the job along."""
    scorers = {column: build_scorer(config) for column, config in job.scorers.items()}
    for task in tasks:
        yield score_shard(task, scorers, job.segmenter, job.output)


def score_in_processes(job: Job, tasks: Iterator[ShardTask], workers: int, num_gpus: int = 0) -> Iterator[ShardResult]:
    """Results as they finish. At most two shards a worker are in memory; worker i has the GPU i modulo `num_gpus`."""
    pool = [_Worker(job, number % num_gpus if num_gpus else None) for number in range(workers)]
    waiting: deque[_Assignment] = deque()
    is_exhausted = False
    try:
        while True:
            # who is free gets work first; reading what comes next does not keep anybody waiting
            for worker in pool:
                if worker.assignment is None and waiting:
                    worker.start(waiting.popleft())
            while not is_exhausted and len(waiting) < workers:
                task = next(tasks, None)
                is_exhausted = task is None
                if task is not None:
                    _spawn_one(pool)
                    waiting.append(_Assignment.of(task))
            busy = [worker for worker in pool if worker.assignment is not None]
            if not busy and not waiting:
                return
            for worker in _ready(busy):
                if (result := worker.read()) is not None:
                    yield result
            for worker in busy:
                if worker.assignment is not None and (reason := worker.failure()) is not None:
                    waiting.appendleft(worker.give_up(reason))
    finally:
        for worker in pool:
            worker.stop()


class Supervisor:
    """One worker process that scores shard after shard, and is replaced as `score_in_processes` does."""

    def __init__(self, job: Job) -> None:
        self._worker = _Worker(job, None)

    def score(self, task: ShardTask) -> ShardResult:
        """The shard's result, when it is done."""
        worker = self._worker
        worker.start(_Assignment.of(task))
        while True:
            if _ready([worker]) and (result := worker.read()) is not None:
                return result
            if (reason := worker.failure()) is not None:
                worker.start(worker.give_up(reason))

    def stop(self) -> None:
        """End the process."""
        self._worker.stop()


def _spawn_one(pool: list["_Worker"]) -> None:
    """Let one more process get ready while the first shards are read; work sent to it would wait for that."""
    for worker in pool:
        if worker.process is None:
            worker.spawn()
            return


@dataclass
class _Assignment:
    """A shard on its way through the workers, and what went wrong with it."""

    name: str
    documents: bytes
    """As they are sent."""
    skipped: dict[int, str] = field(default_factory=dict)
    one_by_one: bool = False
    deaths: int = 0
    deaths_at: dict[int | None, int] = field(default_factory=dict)

    @classmethod
    def of(cls, task: ShardTask) -> "_Assignment":
        return cls(task.name, _line([[document.id, document.text, document.meta] for document in task.documents]))

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
            self.one_by_one = self.one_by_one or self.deaths >= DEATHS_OF_A_SHARD


class _Worker:
    """A process, started when there is work for it."""

    def __init__(self, job: Job, gpu: int | None) -> None:
        self.job = job
        self.gpu = gpu
        self.assignment: _Assignment | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._at: int | None = None
        self._last_answer = 0.0
        self._rest = b""
        self._has_ended = False

    def spawn(self) -> None:
        self.process = _spawn(self.gpu)
        settings = {"scorers": self.job.scorers, "segmenter": self.job.segmenter, "output": str(self.job.output)}
        self._send(_line({**settings, "path": sys.path}))

    def start(self, assignment: _Assignment) -> None:
        self.assignment = assignment
        self._at = None
        self._last_answer = time.monotonic()
        if self.process is None:
            self.spawn()
        how = {"name": assignment.name, "skipped": assignment.skipped, "one_by_one": assignment.one_by_one}
        self._send(_line(how) + assignment.documents)

    def read(self) -> ShardResult | None:
        """Take in what the process has answered; the result if the shard is done."""
        assert self.process is not None
        assert self.process.stdout is not None
        received = os.read(self.process.stdout.fileno(), 2**16)
        self._has_ended = not received
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._last_answer = time.monotonic()
            if "error" in answer:
                raise _error(*answer["error"])
            if "result" in answer:
                self.assignment = None
                return ShardResult(**answer["result"])
            self._at = answer["at"]
        return None

    def failure(self) -> str | None:
        """Why the process cannot go on; None while it can."""
        assert self.process is not None
        limit = self.job.time_limit
        if limit is not None and self._at is not None and time.monotonic() - self._last_answer > limit:
            return f"took longer than {limit:g} s"
        # a process that the scorer started may live on and hold the pipe open: then it is no end of file that says so
        if not self._has_ended and (self.process.poll() is None or _ready([self], 0)):
            return None
        return f"worker died ({_cause(self.process.wait())})"

    def give_up(self, reason: str) -> _Assignment:
        """Kill the process and hand the shard back, to be tried again."""
        assert self.assignment is not None
        is_timeout = reason.startswith("took")
        assignment, self.assignment = self.assignment, None
        between = assignment.deaths_at.get(None, 0)
        if assignment.deaths >= MOST_DEATHS_OF_A_SHARD or between >= MOST_DEATHS_BETWEEN_DOCUMENTS:
            raise ScorerError(
                f"The worker that scores {assignment.name} has died {assignment.deaths} times, last time: {reason}. "
                "What it printed is above; finished shards are kept."
            )
        assignment.failed(self._at, reason, is_timeout)
        self.stop()
        return assignment

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):  # it died before it had read everything
                        stream.close()
        self.process, self._rest, self._has_ended = None, b"", False

    def _send(self, lines: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(lines)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; `failure` says how


def _line(message: Any) -> bytes:
    return json.dumps(message, default=str).encode() + b"\n"


def _ready(busy: list[_Worker], seconds: float = TICK_SECONDS) -> list[_Worker]:
    """The workers that have answered something, after at most a tick."""
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            assert worker.process is not None
            assert worker.process.stdout is not None
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select(seconds)]


def _spawn(gpu: int | None) -> "subprocess.Popen[bytes]":
    environment = dict(os.environ)
    if gpu is not None:
        # what this process may see is counted from 0, but called as the machine, or a scheduler, calls it
        visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        environment["CUDA_VISIBLE_DEVICES"] = visible[gpu] if len(visible) > gpu and visible[gpu] else str(gpu)
    # a process group of its own: Ctrl-C reaches the parent alone, which decides what it means; but no session of its
    # own, which Linux would give a share of the processor apart from the parent's
    return subprocess.Popen(
        [sys.executable, "-m", "phf.annotate.backends.worker", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,
    )


def _error(name: str, message: str) -> PhfError:
    known = {cls.__name__: cls for cls in (errors.ConfigError, errors.CorpusError, ScorerError, OutputError)}
    return known.get(name, PhfError)(message)


def _cause(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit status {returncode}"
