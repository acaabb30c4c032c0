"""Tables whose readers crash on damage, read by a process of their own: ORC, and Feather files of version 1.

pyarrow, and the ORC library in it, believe what such a file says about itself. Of damaged files of Feather's version 1, which
pandas wrote until 2020, every third crashed the process (pyarrow 26), and now and again one of ORC. What comes from the other
process is a stream of Arrow, whose layout is checked.

The other process writes a line of JSON with the names of the columns and the number of rows; it gets one with the columns
to read; and it writes them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

from phf.corpus.formats.compression import FREE_BYTES, RATIO_VARIABLE, max_ratio
from phf.corpus.formats.stored import StoredFile, is_url

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["orc", "feather"]
BATCH_ROWS = 4096
"""Rows that are sent at a time."""
MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)
"""In the reason of a library that got no memory."""
REFUSED = 3
"""Exit status for a file that pyarrow refuses; the reason is on standard error."""


class IsolatedTable:
    """A file that another process reads. Raises `ValueError` with the reason if that process refuses it, or crashes."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: IO[bytes], max_bytes: int) -> None:
        self._process, self._errors = process, errors
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.max_bytes = max_bytes
        described = self._stdout.readline()
        if not described.endswith(b"\n"):
            self._check_end()
        values: dict[str, Any] = json.loads(described)
        self.names: list[str] = values["names"]
        self.num_rows: int = values["num_rows"]

    def batches(self, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        """The rows, in order. All of them, if no error is raised."""
        import pyarrow as pa

        with suppress(BrokenPipeError), self._stdin:
            self._stdin.write(json.dumps(columns).encode() + b"\n")
        try:
            with pa.ipc.open_stream(self._stdout) as reader:
                yield from reader
        except (pa.ArrowException, OSError):
            self._check_end()
            raise
        self._check_end()

    def _check_end(self) -> None:
        self._stdout.close()  # it may be waiting for more to be read
        status = self._process.wait()
        if status == 0:
            return
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines() or [""]
        reason = "the process that read it crashed" if status < 0 else lines[-1]
        if status < 0 or MEMORY.search(reason):
            reason += (
                f". It may use {self.max_bytes:,} bytes of memory; if that is too little for this file, set the environment "
                f"variable {RATIO_VARIABLE} to a larger number than {max_ratio():,}"
            )
        raise ValueError(reason)


@contextmanager
def isolated(kind: Kind, file: StoredFile, content: BinaryIO) -> Iterator[IsolatedTable]:
    """Read `file`; `content`: of it, if it is at a URL. It is then copied to this machine for as long as it is read."""
    with TemporaryFile() as errors, NamedTemporaryFile() as copy:
        path = file.location
        if is_url(path):
            content.seek(0)
            shutil.copyfileobj(content, copy)
            copy.flush()
            path = copy.name
        max_bytes = min(FREE_BYTES + max_ratio() * os.stat(path).st_size, 2**62)
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__, kind, path, str(max_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,  # Ctrl-C in a terminal is for this process
        ) as process:
            yield IsolatedTable(process, errors, max_bytes)


class _Orc:
    def __init__(self, path: str) -> None:
        from pyarrow import orc

        self._file = orc.ORCFile(path)
        self.schema, self.num_rows = self._file.schema, self._file.nrows

    def tables(self, columns: list[str]) -> "Iterator[pa.Table]":
        import pyarrow as pa

        for number in range(self._file.nstripes):
            stripe = self._file.read_stripe(number, columns=columns)
            yield stripe if isinstance(stripe, pa.Table) else pa.Table.from_batches([stripe])


class _Feather:
    def __init__(self, path: str) -> None:
        from pyarrow import feather

        self._table = feather.read_table(path)
        self.schema, self.num_rows = self._table.schema, len(self._table)

    def tables(self, columns: list[str]) -> "Iterator[pa.Table]":
        yield self._table.select(columns)


def main(kind: str, path: str, max_bytes: str) -> None:
    """Read a file for another process, until it has what it wants of it or goes away."""
    import resource  # Windows has none

    import pyarrow as pa

    limit, most = int(max_bytes), resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
    output = sys.stdout.buffer
    try:
        opened = _Orc(path) if kind == "orc" else _Feather(path)
        described = {"names": opened.schema.names, "num_rows": opened.num_rows}
        output.write(json.dumps(described).encode() + b"\n")
        output.flush()
        asked = sys.stdin.buffer.readline()
        if not asked:
            return
        columns = json.loads(asked)
        writer = None
        for table in opened.tables(columns):
            writer = writer or pa.ipc.new_stream(output, table.schema)
            writer.write_table(table, max_chunksize=BATCH_ROWS)
            output.flush()
        if writer is None:  # no stripes
            types = {field.name: field for field in opened.schema}
            writer = pa.ipc.new_stream(output, pa.schema([types[name] for name in columns]))
        writer.close()
        output.flush()
    except BrokenPipeError:
        os._exit(0)
    except (pa.ArrowException, MemoryError, OSError, ValueError) as error:
        sys.stderr.write("\n" + str(error).partition("\n")[0])
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
