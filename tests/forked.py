"""Processes forked from one that has loaded the libraries, which takes seven seconds of a processor.

`Forked` is `subprocess.Popen` for commands of Python: a script, or `-m` and a module. Signals, pipes and exit statuses are
those of a process. What happens while Python starts, or while a library is imported, cannot be tested with it; nor can
variables that libraries read when they are imported, which are those of the process that was forked.
"""

import gc
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from typing import Any

OFFLINE = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "COLUMNS": "200"}
MESSAGE_BYTES = 2**18

_source: list[socket.socket] = []


class Forked(subprocess.Popen):
    """`args`: the interpreter, which is not started, and its arguments. Without a standard input, that is empty."""

    def _execute_child(self, *values: Any) -> None:
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, *values).arguments
        environment = os.environ if given["env"] is None else given["env"]
        request = {
            "arguments": [str(word) for word in given["args"][1:]],
            "cwd": str(given["cwd"] or os.getcwd()),
            "environment": dict(environment),
            "process_group": given["process_group"],
            "parent": os.getpid(),
        }
        self._status, status = os.pipe()
        with open(os.devnull) as nothing:
            streams = (("p2cread", nothing.fileno()), ("c2pwrite", 1), ("errwrite", 2))
            descriptors = [given[name] if given[name] != -1 else default for name, default in streams]
            socket.send_fds(_started(), [json.dumps(request).encode()], [*descriptors, status])
        os.close(status)
        self._reported = os.read(self._status, 64)
        self.pid = int(self._reported.partition(b" ")[0])
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._look(0)

    def _wait(self, timeout: float | None) -> int:
        if self._look(timeout) is None:
            assert timeout is not None, "without a time limit, it has ended"
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _look(self, timeout: float | None) -> int | None:
        """The exit status, if it comes within some seconds."""
        if self.returncode is None and self._child_created:
            while select.select([self._status], [], [], timeout)[0]:
                if received := os.read(self._status, 64):
                    self._reported += received
                else:
                    self.returncode = int(self._reported.partition(b" ")[2])
                    os.close(self._status)
                    break
        return self.returncode


def _started() -> socket.socket:
    """The connection to the process that is forked, which ends with this one."""
    if not _source:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **OFFLINE},
            )
        _source.append(ours)
    return _source[0]


def _serve(requests: socket.socket) -> None:
    """Load what most commands need, then fork a process for each request."""
    import phf.evaluation.run
    import phf.training.run  # noqa: F401

    gc.collect()
    gc.freeze()  # the processes neither search what is loaded for garbage nor copy it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while True:
        content, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 4)
        if not content:
            return
        if not os.fork():
            requests.close()
            _keep(json.loads(content), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(request: dict, descriptors: list[int]) -> None:
    """Fork the process, and report its id and its exit status."""
    *standard, status = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper = os.getpid()
    pid = os.fork()
    if not pid:
        os.close(status)
        os._exit(_run(request, standard, keeper))
    for descriptor in standard:
        os.close(descriptor)
    os.write(status, f"{pid} ".encode())
    _, ended = os.waitpid(pid, 0)
    os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
    os._exit(0)


def _run(request: dict, standard: list[int], keeper: int) -> int:
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["process_group"] >= 0:
        os.setpgid(0, request["process_group"])
    real_parent = os.getppid
    os.getppid = lambda: request["parent"] if real_parent() == keeper else 1
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    is_module = request["arguments"][0] == "-m"
    name, *sys.argv[1:] = request["arguments"][is_module:]
    sys.argv[0] = name
    status = 0
    try:
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(name))
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
    _serve(socket.socket(fileno=int(sys.argv[1])))
