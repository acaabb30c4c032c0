"""Runs side by side, each a process of `phf train`, as many at a time as there are places for them."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from filelock import FileLock, Timeout

from phf.errors import CorpusError, OutputError
from phf.runs.folder import is_started
from phf.runs.layout import METRICS
from phf.runs.reader import read_provenance
from phf.storage.files import LOCK, acquire_if_supported, last_line, writing
from phf.storage.reading import parse_json
from phf.study.folder import StudyFolder
from phf.study.plan import StudyRun
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
    finished: int
    failed: int = 0
    running: dict[str, float] = field(default_factory=dict)
    """Name of each run in progress -> share of its steps that are done, from 0 to 1."""
    seconds_left: float | None = None
    """Estimated from the steps that were made since the command began; None until there are some."""

    @property
    def share(self) -> float:
        """Share of all work that is done or given up, from 0 to 1."""
        return (self.finished + self.failed + sum(self.running.values())) / max(self.total, 1)


@dataclass
class _Process:
    run: StudyRun
    place: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    log_start: int
    """Where what this process printed begins in its log."""


def execute(
    runs: Sequence[StudyRun],
    folder: StudyFolder,
    places: Sequence[Mapping[str, str]],
    launcher: Sequence[str],
    show: Callable[[Progress], None],
    announce: Callable[[str], None],
) -> dict[str, str]:
    """Train the runs that are not finished; returns the name of each one that failed, with the reason.

    A run that fails does not affect the others. A run that another process is still training, such as one that an
    interrupted study has left behind, is waited for. When this process is interrupted, the others get
    `SECONDS_TO_SAVE` to save a checkpoint.

    Args:
        places: the environment of each run that may be in progress at the same time, such as its GPU.
        launcher: words of a command that are put before `phf train ...`; none to start it directly.
        show: called several times a second.
    """
    waiting = deque(run for run in runs if not folder.is_finished(run.name))
    free = deque(places)
    running: list[_Process] = []
    failures: dict[str, str] = {}
    progress = Progress(len(runs), len(runs) - len(waiting))
    clock = _Clock(len(waiting))
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                if not free:
                    break
                run = waiting.popleft()
                if _is_held(folder, run.name):
                    waiting.append(run)
                    continue
                running.append(_start(run, folder, free.popleft(), launcher))
                clock.begin(run.name, _share(folder, run.name))
            time.sleep(TICK_SECONDS)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                free.append(ended.place)
                ended.log.close()
                name = ended.run.name
                progress.running.pop(name, None)
                if ended.process.returncode == 0 and folder.is_finished(name):
                    progress.finished += 1
                    announce(f"{name}: finished ({progress.finished} of {progress.total})")
                else:
                    progress.failed += 1
                    failures[name] = _reason(ended, folder)
                    announce(f"{name}: failed. {failures[name]}")
                clock.end(name)
            for one in running:
                progress.running[one.run.name] = _share(folder, one.run.name)
            progress.seconds_left = clock.seconds_left(progress.running)
            show(progress)
    finally:
        _stop(running)
    return failures


class _Clock:
    """How long the rest takes, from the work done since the command began; a run is the unit of work."""

    def __init__(self, num_runs: int) -> None:
        self._began = time.monotonic()
        self._left = float(num_runs)
        self._done = 0.0
        self._first: dict[str, float] = {}

    def begin(self, name: str, share: float) -> None:
        """A run is started that has done this share of its work before."""
        self._first[name] = share
        self._left -= share

    def end(self, name: str) -> None:
        """A run has ended, in whichever way."""
        self._done += 1 - self._first.pop(name)

    def seconds_left(self, running: Mapping[str, float]) -> float | None:
        """None until something has been done."""
        now = sum(share - self._first[name] for name, share in running.items() if name in self._first)
        done = self._done + max(now, 0.0)
        return (time.monotonic() - self._began) / done * max(self._left - done, 0.0) if done > 0 else None


def _start(run: StudyRun, folder: StudyFolder, place: Mapping[str, str], launcher: Sequence[str]) -> _Process:
    command = ["phf", "train", "--config", str(folder.plan(run.name)), "--run-name", run.name]
    command += ["--output-dir", str(folder.path)]
    if is_started(folder.run(run.name)):
        command.append("--resume")
    directly = [sys.executable, "-m", "phf.workers.attached", str(os.getpid())]
    path = folder.log(run.name)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
    log_start = log.tell()
    try:
        process = subprocess.Popen(
            [*(launcher or directly), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **place},
            process_group=0,  # Ctrl-C in a terminal reaches this process alone, which decides what becomes of the others
        )
    except OSError as error:
        log.close()
        raise OutputError(f"{' '.join([*launcher, *command])}: cannot be started: {error.strerror}.") from error
    return _Process(run, place, process, log, log_start)


def _is_held(folder: StudyFolder, name: str) -> bool:
    """Whether another process is training the run."""
    path = folder.run(name) / LOCK
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        acquire_if_supported(lock)
    except Timeout:
        return True
    lock.release()
    return False


def _share(folder: StudyFolder, name: str) -> float:
    """Share of a run's steps that its folder has logged; 0 for what cannot be read now."""
    path = folder.run(name) / METRICS
    try:
        step = parse_json(last_line(path), str(path))["step"]
        max_steps = read_provenance(folder.run(name))["max_steps"]
        return min(step / max_steps, 1.0)
    except (CorpusError, OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0  # not begun, or a line is being written


def _reason(ended: _Process, folder: StudyFolder) -> str:
    """Why a process failed: its error message, otherwise how it ended and the end of what it printed."""
    path = folder.log(ended.run.name)
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
