"""The processes of one job, as `torchrun` starts them, forked from a process that has loaded the libraries once.

A process needs five seconds to load torch, transformers and datasets, and `torchrun` starts three. What the launcher itself
does, such as ending all ranks when one ends, is tested with the launcher.
"""

import atexit
import json
import os
import runpy
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 120


@dataclass(frozen=True)
class Rank:
    """How one process ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


_source: list[subprocess.Popen] = []


def run_ranks(
    arguments: list[str], folder: Path, world_size: int = 2, timeout: float = TIMEOUT, *, may_fail: bool = False
) -> list[Rank]:
    """Run `arguments` (of `python`: a script, or `-m` and a module, and what follows) on `world_size` ranks of one job.

    `folder`: for what they print; `timeout`: seconds that they may take. Raises `AssertionError` unless every rank ends with
    status 0, or, with `may_fail`, by itself.
    """
    if not _source or _source[0].poll() is not None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_OFFLINE": "1", "COLUMNS": "200"}
        source = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        _source[:] = [source]
        atexit.register(source.kill)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    outputs = [[str(folder / f"rank-{rank}.{name}") for name in ("out", "err")] for rank in range(world_size)]
    request = {
        "arguments": arguments,
        "port": port,
        "outputs": outputs,
        "cwd": str(Path.cwd()),
        "timeout": timeout,
        "may_fail": may_fail,
    }
    request["cache"] = os.environ["PHF_CACHE"]
    assert _source[0].stdin is not None
    assert _source[0].stdout is not None
    _source[0].stdin.write(json.dumps(request) + "\n")
    _source[0].stdin.flush()
    statuses = json.loads(_source[0].stdout.readline())
    ranks = [
        Rank(status, *(Path(name).read_text() for name in names))
        for status, names in zip(statuses, outputs, strict=True)
    ]
    assert may_fail or all(rank.status == 0 for rank in ranks), [rank.stderr[-3000:] for rank in ranks]
    return ranks


def _serve() -> None:
    """Load what every rank needs, then fork the ranks of one job after the other."""
    import phf.evaluation.run
    import phf.training.run  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        size = len(request["outputs"])
        pids = []
        for rank in range(size):
            pid = os.fork()
            if not pid:
                os._exit(_run(request, rank, size))
            pids.append(pid)
        answers.write(json.dumps(_wait(pids, request["timeout"], request["may_fail"])) + "\n")
        answers.flush()


def _wait(pids: list[int], timeout: float, may_fail: bool) -> list[int]:
    """Exit status of each; what has not ended in `timeout` seconds is killed, and what is left when another has failed,
    unless it may."""
    statuses: dict[int, int] = {}
    deadline = time.monotonic() + timeout
    while len(statuses) < len(pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            statuses[pid] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline or (any(statuses.values()) and not may_fail):
            for other in set(pids) - statuses.keys():
                os.kill(other, 9)
        time.sleep(0.01)
    return [statuses[pid] for pid in pids]


def _run(request: dict, rank: int, size: int) -> int:
    for number, name in enumerate(request["outputs"][rank], start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": request["port"], "PHF_CACHE": request["cache"]}
    os.chdir(request["cwd"])
    is_module = request["arguments"][0] == "-m"
    name, *sys.argv[1:] = request["arguments"][is_module:]
    sys.argv[0] = name
    status = 0
    try:
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
