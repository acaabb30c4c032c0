"""Child processes that this process starts, talks to in JSON lines and replaces; see `phf.workers.parent` for their end.

A separate process rather than `multiprocessing`: it can be killed and replaced at any moment, and needs nothing of the
program that started it, which may be a notebook or a script without a main guard.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from phf import errors
from phf.errors import PhfError
from phf.workers.parent import ATTACHED

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""There is usually one child per processor; the threads that numpy would start in each first spin for a while, waiting for
work. What the user has set takes precedence."""
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""A child repeats the same work: memory that it has freed stays with it (in glibc, up to 64 MiB of it) for the next
piece of work, since getting it from the system again takes a twelfth of the time of a fast scorer. Arrow takes it from the same
place rather than from its own pool, so a child is not larger than it would be otherwise."""
KEPT_BYTES = 2000
"""How much is kept of what a child last wrote to standard error, to report why it ended."""


class Child:
    """A process that runs `module`, which makes a `Parent` and answers requests.

    Ctrl-C in a terminal reaches this process alone, which decides what becomes of the child. `echo`: whether what the
    child writes to standard error is shown at once; the last of it is kept either way.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None, *, echo: bool = True) -> None:
        ahead = _started_ahead.get(module, [])
        if environment:
            _end_all(ahead)
        self._process = ahead.pop() if ahead else _start(module, environment or {})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._rest = b""
        self._has_ended = False
        self._last_output = b""
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr, echo), daemon=True)
        self._listener.start()

    def send(self, message: Mapping[str, Any], attached: bytes = b"") -> None:
        """Send a request. If the child has died, `exit_status` reports it; this does not."""
        described = {**message, ATTACHED: len(attached)} if attached else message
        try:
            self._stdin.write(json.dumps(described, default=str).encode() + b"\n" + attached)
            self._stdin.flush()
        except BrokenPipeError:
            pass

    def read(self) -> list[dict[str, Any]]:
        """The answers that have come since; waits for one if there is none. Call it when `ready` names the child.

        Raises an error that the child met, of its own class.
        """
        received = os.read(self._stdout.fileno(), 2**16)
        self._has_ended = not received
        *lines, self._rest = (self._rest + received).split(b"\n")
        answers = [json.loads(line) for line in lines]
        for answer in answers:
            if "error" in answer:
                raise carried_error(*answer["error"])
        return answers

    def exit_status(self) -> str | None:
        """How the child ended, "signal 9" or "exit status 1"; None while it lives, or has answers that were not read."""
        # a process that it started may live on and hold the pipe open: then it is not the end of the output that says so
        if not self._has_ended and (self._process.poll() is None or ready([self], 0)):
            return None
        status = self._process.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    @property
    def last_output(self) -> str:
        """The last of what it wrote to standard error."""
        self._listener.join(0.2)  # it may have died just now
        return self._last_output.decode("utf-8", "replace").strip()

    def fileno(self) -> int:
        """The descriptor of its answers."""
        return self._stdout.fileno()

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            with suppress(BrokenPipeError):  # it died before it had read everything
                stream.close()

    def _listen(self, stream: IO[bytes], echo: bool) -> None:
        with stream:
            while received := os.read(stream.fileno(), 2**12):
                self._last_output = (self._last_output + received)[-KEPT_BYTES:]
                if echo:
                    os.write(2, received)


_started_ahead: dict[str, list["subprocess.Popen[bytes]"]] = {}
"""Module -> processes that run it and have no `Child` yet."""


@contextmanager
def starting_ahead(module: str, count: int) -> Iterator[None]:
    """Start processes that the first children of the block, of this module and without their own environment, take
    over: they import what they need while this process is still importing what it needs."""
    ahead = _started_ahead.setdefault(module, [])
    ahead += [_start(module, {}) for _ in range(count)]
    try:
        yield
    finally:
        _end_all(ahead)


def _start(module: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    # its own process group, but not its own session, which Linux would give a share of the processor apart from
    # the parent's
    return subprocess.Popen(
        [sys.executable, "-m", module, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ONE_THREAD, **KEPT_MEMORY, **os.environ, **environment},
        process_group=0,
    )


def _end_all(processes: list["subprocess.Popen[bytes]"]) -> None:
    while processes:
        process = processes.pop()
        process.kill()
        process.communicate()


def ready(children: Sequence[Child], seconds: float) -> list[Child]:
    """The children that have answered or ended, after at most `seconds`."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.fileno(), selectors.EVENT_READ, child)
        return [key.data for key, _ in selector.select(seconds)]


def carried_error(names: Sequence[str], text: str) -> PhfError:
    """The error that a child met; `names`: its class and the classes above it, of which the first known one is taken."""
    known = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, PhfError)}
    cls = next((known[name] for name in names if name in known), PhfError)
    error = cls.__new__(cls)  # the constructors of some make the message themselves
    ValueError.__init__(error, text)
    return error
