"""Tables whose readers crash on damage, read by a process of their own: Arrow and Feather, and ORC.

pyarrow, and the ORC library in it, believe what such a file says about itself. Of damaged files of Feather's version 1, which
pandas wrote until 2020, every third crashed the process (pyarrow 26), and now and again one of Arrow and ORC. What comes
from the other process is a stream of Arrow that is valid.

`table_process` is that process: it is started with the first such file, and ends with this one.
"""

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedRWPair
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

from phf.corpus.formats.compression import FREE_BYTES, RATIO_VARIABLE, max_ratio
from phf.corpus.formats.stored import StoredFile, is_url

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["arrow", "orc"]
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Of the other process, which forks: it has no threads."""
MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)
"""In the reason of a library that got no memory."""


class IsolatedTable:
    """A file that another process reads. Raises `ValueError` with the reason if that process refuses it, or crashes."""

    def __init__(self, stream: BufferedRWPair, errors: IO[bytes], max_bytes: int) -> None:
        self._stream, self._errors = stream, errors
        self.max_bytes = max_bytes
        described = stream.readline()
        if not described.endswith(b"\n"):
            self._check_end()
        values: dict[str, Any] = json.loads(described)
        self.names: list[str] = values["names"]
        self.num_rows: int = values["num_rows"]
        """0: not known."""

    def batches(self, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        """The rows, in order. All of them, if no error is raised."""
        import pyarrow as pa

        with suppress(BrokenPipeError):
            self._stream.write(json.dumps(columns).encode() + b"\n")
            self._stream.flush()
        try:
            with pa.ipc.open_stream(self._stream) as reader:
                yield from reader
        except (pa.ArrowException, OSError):
            self._check_end()
            raise
        self._check_end()

    def _check_end(self) -> None:
        """Wait for the end of the process, and raise an error if it is not a good one."""
        with suppress(ConnectionError):
            while self._stream.read(2**16):
                pass
        self._errors.seek(0)
        last = self._errors.read().rpartition(b"\n")[2]
        try:
            reason = json.loads(last)
            has_crashed = False
        except ValueError:
            reason = "the process that read it crashed"
            has_crashed = True
        if reason is None:
            return
        if has_crashed or MEMORY.search(reason):
            reason += (
                f". It may use {self.max_bytes:,} bytes of memory; if that is too little for this file, set the environment "
                f"variable {RATIO_VARIABLE} to a larger number than {max_ratio():,}"
            )
        raise ValueError(reason)


@contextmanager
def isolated(kind: Kind, file: StoredFile, content: BinaryIO) -> Iterator[IsolatedTable]:
    """Read `file`; `content`: of it, if it is at a URL. It is then copied to this machine for as long as it is read."""
    with TemporaryFile() as errors, NamedTemporaryFile() as copy:
        path = os.path.abspath(file.location)
        if is_url(file.location):
            content.seek(0)
            shutil.copyfileobj(content, copy)
            copy.flush()
            path = copy.name
        max_bytes = min(FREE_BYTES + max_ratio() * os.stat(path).st_size, 2**62)
        with _forker.connect(errors) as connection, connection.makefile("rwb") as stream:
            stream.write(json.dumps([kind, path, max_bytes]).encode() + b"\n")
            stream.flush()
            yield IsolatedTable(stream, errors, max_bytes)


class _Forker:
    """The process that forks one for each file."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def connect(self, errors: IO[bytes]) -> socket.socket:
        """A connection to a new process that will read a file."""
        ours, its = socket.socketpair()
        with its, self._starting:
            descriptors = [its.fileno(), errors.fileno()]
            if self._requests is not None:
                with suppress(ConnectionError):  # somebody may have killed it
                    socket.send_fds(self._requests, [b"\0"], descriptors)
                    return ours
                self.end()
            socket.send_fds(self._start(), [b"\0"], descriptors)
            return ours

    def _start(self) -> socket.socket:
        self._requests, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "phf.corpus.formats.table_process"],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                process_group=0,  # Ctrl-C in a terminal is for this process
            )
        return self._requests

    def end(self) -> None:
        """End the process, if there is one."""
        if self._requests is not None and self._process is not None:
            with suppress(OSError):  # it has ended already
                self._requests.shutdown(socket.SHUT_RDWR)
            self._requests.close()
            self._process.wait()
            self._requests = None

    def forget(self) -> None:
        """Leave the process to the one that this one was forked from."""
        self._starting, self._requests = threading.Lock(), None


_forker = _Forker()
os.register_at_fork(after_in_child=_forker.forget)
atexit.register(_forker.end)
