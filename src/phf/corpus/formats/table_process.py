"""The process that reads tables for `isolated`: it forks one that reads a file, and may crash, for each that is asked for.

Libraries are imported once, before the first file; a fork takes milliseconds, and nothing that a file did to the process that
read it is left for the next one.

A request is a byte with two descriptors: a connection, and a file for what goes wrong. Over the connection comes a line of JSON
with the kind and path of the file and the bytes of memory for it. The answer is one with the names of the columns and the
number of rows (0: not known); then comes one with the columns to read, and they are the answer, as a stream of Arrow. The last
line of the other file says how it ended, in JSON: null, or the reason why the file is refused. After a crash there is none.
"""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from pyarrow import feather, orc

from phf.corpus.formats.table_layout import dense, validate
from phf.workers.interruption import ASKING

BATCH_ROWS = 256
"""Rows that are sent at a time."""
FEATHER_V1, ARROW_FILE = b"FEA1", b"ARROW1"
"""How such files begin; Feather files of version 2 are Arrow files, and others may be Arrow streams."""


class _Arrow:
    """Arrow files and streams (`datasets` writes streams), and Feather files of both versions."""

    num_rows = 0

    def __init__(self, path: str) -> None:
        content = pa.memory_map(path)
        magic = content.read(len(ARROW_FILE))
        content.seek(0)
        self._batches: Iterable[pa.RecordBatch]
        if magic.startswith(FEATHER_V1):
            table = feather.read_table(path)
            self.schema, self.num_rows, self._batches = table.schema, len(table), table.to_batches()
        elif magic == ARROW_FILE:
            file = pa.ipc.open_file(content)
            self.schema, self._batches = file.schema, map(file.get_batch, range(file.num_record_batches))
        else:
            stream = pa.ipc.open_stream(content)
            self.schema, self._batches = stream.schema, stream

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        return (batch.select(columns) for batch in self._batches)


class _Orc:
    def __init__(self, path: str) -> None:
        self._file = orc.ORCFile(path)
        self.schema, self.num_rows = self._file.schema, self._file.nrows

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        for number in range(self._file.nstripes):
            stripe = self._file.read_stripe(number, columns=columns)
            yield from stripe.select(columns).to_batches() if isinstance(stripe, pa.Table) else [stripe.select(columns)]


def main() -> None:
    """Take requests, until the process that makes them is gone."""
    # what a scheduler sends is for the process that asks, and nobody waits for those that are forked
    for signum in (*ASKING, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_IGN)
    requests = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while (received := socket.recv_fds(requests, 1, 2))[0]:
        connection, errors = received[1]
        if os.fork() == 0:
            requests.close()
            os.dup2(errors, 2)
            _answer(socket.socket(fileno=connection))
        os.close(connection)
        os.close(errors)


def _answer(connection: socket.socket) -> None:
    """Read a file for another process, until that has what it wants of it or goes away, and end this one."""
    reason = None
    try:
        with connection.makefile("rwb") as stream:
            _send(stream)
    except BrokenPipeError:
        pass
    except (pa.ArrowException, MemoryError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
    sys.stderr.write("\n" + json.dumps(reason))
    sys.stderr.flush()
    os._exit(0)


def _send(stream: Any) -> None:
    kind, path, max_bytes = json.loads(stream.readline())
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = max_bytes if most == resource.RLIM_INFINITY else min(max_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file behind
    file: _Arrow | _Orc = _Arrow(path) if kind == "arrow" else _Orc(path)
    stream.write(json.dumps({"names": file.schema.names, "num_rows": file.num_rows}).encode() + b"\n")
    stream.flush()
    asked = stream.readline()
    if not asked:
        return
    columns = json.loads(asked)
    writer = None
    for batch in file.batches(columns):
        validate(batch, columns)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            rows = dense(batch.slice(start, BATCH_ROWS))
            writer = writer or pa.ipc.new_stream(stream, rows.schema)
            writer.write_batch(rows)
        stream.flush()
    if writer is None:  # no rows
        fields = {field.name: field for field in file.schema}
        writer = pa.ipc.new_stream(stream, pa.schema([fields[name] for name in columns]))
    writer.close()


if __name__ == "__main__":
    main()
