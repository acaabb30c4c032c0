"""Feather files of version 1, which pandas wrote until 2020, read by a process of their own.

pyarrow believes what such a file says about itself: of damaged ones, every third ended the process that read it. So another
process reads it, and writes it as a stream of Arrow, whose layout is checked.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, BinaryIO

MAGIC = b"FEA1"
REFUSED = 3
"""Exit status for a file that pyarrow refuses; the reason is on standard error."""


@contextmanager
def as_stream(content: BinaryIO) -> Iterator[IO[bytes]]:
    """The file as a stream of Arrow. Raises `ValueError` if it cannot be read; is as large as the file, on the disk."""
    with TemporaryFile() as stream:
        reader = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", __name__],
            input=content.read(),
            stdout=stream,
            stderr=subprocess.PIPE,
            check=False,
            process_group=0,  # Ctrl-C in a terminal is for this process
        )
        if reader.returncode:
            lines = reader.stderr.decode("utf-8", "replace").split("\n")
            raise ValueError(lines[0] if reader.returncode == REFUSED else "the process that read it crashed")
        stream.seek(0)
        yield stream


def main() -> None:
    """Read a file from standard input, and write it to standard output."""
    import pyarrow as pa
    from pyarrow import feather

    try:
        table = feather.read_table(pa.BufferReader(sys.stdin.buffer.read()))
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
            writer.write_table(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        sys.stderr.write(str(error))
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
