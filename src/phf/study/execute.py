"""The jobs of a study side by side, each a process of its own, as many at a time as there are places for them."""

import os
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from phf.errors import OutputError
from phf.storage.files import LOCK, acquire_if_supported, writing
from phf.study.folder import StudyFolder
from phf.study.jobs import Job, command_line, is_finished, num_tokens, share
from phf.study.plan import TRAIN
from phf.text import counted
from phf.workers.interruption import GRACE_SECONDS

TICK_SECONDS = 0.25
SECONDS_TO_SAVE = GRACE_SECONDS - 5
"""How long the processes have to save a checkpoint when the study is interrupted."""
SHOWN_LOG_CHARS = 600
"""How much of the end of its log is the reason of a run that failed without an error message."""


@dataclass
class Progress:
    """Where the runs of a study are."""

    total: int
    """Runs."""
    finished: int
    """Runs whose jobs have all finished."""
    failed: int = 0
    """Runs of which a job has failed."""
    running: dict[str, float] = field(default_factory=dict)
    """Name of each job in progress -> share of it that is done, from 0 to 1."""
    num_jobs: int = 0
    num_over: int = 0
    """Jobs that have finished or are given up."""
    seconds_left: float | None = None
    """Estimated from what was done since the command began; None until something has been."""

    @property
    def share(self) -> float:
        """Share of all jobs that is done or given up, from 0 to 1."""
        return (self.num_over + sum(self.running.values())) / max(self.num_jobs, 1)


@dataclass
class _Process:
    job: Job
    place: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    log_start: int
    """Where what this process printed begins in its log."""


def execute(
    jobs: Sequence[Job],
    folder: StudyFolder,
    places: Sequence[Mapping[str, str]],
    launcher: Sequence[str],
    show: Callable[[Progress], None],
    announce: Callable[[str], None],
) -> dict[str, str]:
    """Do the jobs that are not finished; returns the name of each one that failed, with the reason.

    A job that fails affects those alone that come after it. A job that another process is still doing, such as one that an
    interrupted study has left behind, is waited for. When this process is interrupted, the others get
    `SECONDS_TO_SAVE` to save their state.

    Args:
        places: the environment of each job that may be in progress at the same time, such as its GPU.
        launcher: words of a command that are put before `phf ...`; none to start it directly.
        show: called several times a second.
    """
    waiting = [job for job in jobs if not is_finished(job, folder)]
    free = deque(places)
    running: list[_Process] = []
    failures: dict[str, str] = {}
    clock = _Clock(waiting, len(places))
    try:
        while waiting or running:
            _give_up(waiting, failures, announce)
            for job in _ready(waiting, running):
                if not free:
                    break
                if _is_held(folder.output(job.run.name, job.command)):
                    continue
                waiting.remove(job)
                running.append(_start(job, folder, free.popleft(), launcher))
                clock.begin(job, share(job, folder))
            time.sleep(TICK_SECONDS)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                free.append(ended.place)
                ended.log.close()
                name = ended.job.name
                is_done = ended.process.returncode == 0 and is_finished(ended.job, folder)
                clock.end(ended.job, is_done)
                if is_done:
                    now = _progress(jobs, waiting, running, failures)
                    announce(f"{name}: finished ({now.finished} of {counted(now.total, 'run')})")
                else:
                    failures[name] = _reason(ended, folder)
                    announce(f"{name}: failed. {failures[name]}")
            now = _progress(jobs, waiting, running, failures)
            now.running = {one.job.name: share(one.job, folder) for one in running}
            now.seconds_left = clock.seconds_left(now.running)
            show(now)
    finally:
        _stop(running)
    return failures


def _ready(waiting: Sequence[Job], running: Sequence[_Process]) -> list[Job]:
    """The jobs that nothing stands before, in order."""
    not_done = {job.name for job in waiting} | {one.job.name for one in running}
    return [job for job in waiting if not_done.isdisjoint(job.after)]


def _give_up(waiting: list[Job], failures: dict[str, str], announce: Callable[[str], None]) -> None:
    """Remove the jobs that come after one that has failed."""
    while lost := next((job for job in waiting if not failures.keys().isdisjoint(job.after)), None):
        waiting.remove(lost)
        first = next(name for name in lost.after if name in failures)
        failures[lost.name] = f"{first} failed"
        if lost.run.name != first:
            announce(f"{lost.name}: not begun, since {failures[lost.name]}")


def _progress(
    jobs: Sequence[Job], waiting: Sequence[Job], running: Sequence[_Process], failures: Mapping[str, str]
) -> Progress:
    runs = {job.run.name for job in jobs}
    failed = {job.run.name for job in jobs if job.name in failures}
    open_jobs = [*waiting, *(one.job for one in running)]
    unfinished = failed | {job.run.name for job in open_jobs}
    return Progress(
        total=len(runs),
        finished=len(runs - unfinished),
        failed=len(failed),
        num_jobs=len(jobs),
        num_over=len(jobs) - len(open_jobs),
    )


class _Clock:
    """How long the rest takes, from how long jobs of each kind have taken since the command began.

    The unit of work is a job, or the longest training: one of half the tokens is half of it.
    """

    def __init__(self, jobs: Sequence[Job], num_places: int) -> None:
        self._num_places = num_places
        longest = max((num_tokens(job.config) for job in jobs if job.command == TRAIN), default=1.0)
        self._sizes = {job.name: num_tokens(job.config) / longest if job.command == TRAIN else 1.0 for job in jobs}
        self._left: dict[str, float] = defaultdict(float)
        for job in jobs:
            self._left[job.command] += self._sizes[job.name]
        self._done: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._begun: dict[str, tuple[Job, float, float]] = {}

    def begin(self, job: Job, share: float) -> None:
        """A job is started of which this share was done before."""
        self._begun[job.name] = (job, share, time.monotonic())
        self._left[job.command] -= self._sizes[job.name]

    def end(self, job: Job, is_done: bool) -> None:
        """A job has ended. One that failed says nothing about how long the others take."""
        _, first, began = self._begun.pop(job.name)
        if is_done and first < 1:  # of one that had made all its steps before, it is not known how long they took
            self._add(self._done, self._seconds, job, 1 - first, began)

    def seconds_left(self, running: Mapping[str, float]) -> float | None:
        """`running`: name of each job in progress -> share that is done. None until something has been done."""
        done, seconds = self._done.copy(), self._seconds.copy()
        for name, (job, first, began) in self._begun.items():
            if running[name] > first:
                self._add(done, seconds, job, running[name] - first, began)
        if not done:
            return None
        average = sum(seconds.values()) / sum(done.values())  # for kinds that have not been seen yet
        of_one = {command: seconds[command] / done[command] if command in done else average for command in self._left}
        begun = [
            of_one[job.command] * self._sizes[name] * (1 - running[name]) for name, (job, _, _) in self._begun.items()
        ]
        whole = sum(begun) + sum(of_one[command] * count for command, count in self._left.items())
        return max(whole / self._num_places, *begun, 0.0)

    def _add(self, done: dict[str, float], seconds: dict[str, float], job: Job, share: float, began: float) -> None:
        done[job.command] = done.get(job.command, 0.0) + share * self._sizes[job.name]
        seconds[job.command] = seconds.get(job.command, 0.0) + time.monotonic() - began


def _start(job: Job, folder: StudyFolder, place: Mapping[str, str], launcher: Sequence[str]) -> _Process:
    words = command_line(job, folder)
    directly = [sys.executable, "-m", "phf.workers.attached", str(os.getpid())]
    path = folder.log(job.run.name, job.command)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
    log_start = log.tell()
    try:
        process = subprocess.Popen(
            [*(launcher or directly), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **place},
            process_group=0,  # Ctrl-C in a terminal reaches this process alone, which decides what becomes of the others
        )
    except OSError as error:
        log.close()
        raise OutputError(f"{' '.join([*launcher, *words])}: cannot be started: {error.strerror}.") from error
    return _Process(job, place, process, log, log_start)


def _is_held(output: Path) -> bool:
    """Whether another process is working in the folder."""
    path = output / LOCK
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        acquire_if_supported(lock)
    except Timeout:
        return True
    lock.release()
    return False


def _reason(ended: _Process, folder: StudyFolder) -> str:
    """Why a process failed: its error message, otherwise how it ended and the end of what it printed."""
    path = folder.log(ended.job.run.name, ended.job.command)
    with path.open("rb") as log:
        log.seek(ended.log_start)
        printed = log.read().decode("utf-8", "replace")
    _, error, message = printed.rpartition("Error: ")
    status = ended.process.returncode
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    if error:
        return f"{' '.join(message.split())} ({how}; {path})"
    return f"It ended with {how}; {path} ends: {' '.join(printed[-SHOWN_LOG_CHARS:].split())}"


def _stop(running: Sequence[_Process]) -> None:
    """Ask the processes to save their state, and end those that have not after `SECONDS_TO_SAVE`."""
    for one in running:
        one.process.terminate()
    deadline = time.monotonic() + SECONDS_TO_SAVE
    for one in running:
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(max(deadline - time.monotonic(), 0))
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.log.close()
