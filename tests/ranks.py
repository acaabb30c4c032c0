"""The processes of one job, as `torchrun` starts them, forked from a process that has loaded the libraries once.

What the launcher itself does, such as ending all ranks when one ends, is tested with the launcher.
"""

import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.forked import OFFLINE, Forked

TIMEOUT = 120


@dataclass(frozen=True)
class Rank:
    """How one process ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


def run_ranks(
    arguments: list[str], folder: Path, world_size: int = 2, timeout: float = TIMEOUT, *, may_fail: bool = False
) -> list[Rank]:
    """Run `arguments` (of `python`: a script, or `-m` and a module, and what follows) on `world_size` ranks of one job.

    `folder`: for what they print; `timeout`: seconds that they may take. Raises `AssertionError` unless every rank ends with
    status 0, or, with `may_fail`, by itself.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    job = {"WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size)}
    job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    outputs = [[folder / f"rank-{rank}.{name}" for name in ("out", "err")] for rank in range(world_size)]
    processes = []
    for rank, names in enumerate(outputs):
        environment = {**os.environ, **OFFLINE, **job, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        with ExitStack() as files:
            out, err = (files.enter_context(name.open("w")) for name in names)
            processes.append(Forked([sys.executable, *arguments], stdout=out, stderr=err, env=environment))
    _wait(processes, timeout, may_fail)
    ranks = [
        Rank(process.returncode, *(name.read_text() for name in names))
        for process, names in zip(processes, outputs, strict=True)
    ]
    assert may_fail or all(rank.status == 0 for rank in ranks), [rank.stderr[-3000:] for rank in ranks]
    return ranks


def _wait(processes: list[Forked], timeout: float, may_fail: bool) -> None:
    """Until all have ended; what has not in `timeout` seconds is killed, and what is left when another has failed, unless
    it may."""
    deadline = time.monotonic() + timeout
    while None in (statuses := [process.poll() for process in processes]):
        if time.monotonic() > deadline or (any(statuses) and not may_fail):
            for process in processes:
                process.kill()
        time.sleep(0.01)
