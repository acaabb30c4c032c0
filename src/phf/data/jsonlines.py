"""JSON Lines files, plain or compressed, with errors that name the line."""

import codecs
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from phf.errors import CorpusError, MissingExtraError
from phf.reading import parse_json, without_surrogates

ReadProgress = Callable[[float], None]
"""Called now and then with the share of a file that has been read, in [0, 1]."""
LINES_BETWEEN_PROGRESS = 100
COMPRESSED_BYTES = 2**14
"""Of a .zst file, decompressed at a time: a small number, as each may stand for thousands."""


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""As JSON spells one; most are halves of a pair, which is a character."""


def ignore_progress(fraction: float) -> None:
    """For readers nobody watches."""


def read_json_lines(path: Path, progress: ReadProgress = ignore_progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 0, object) of each non-blank line; .gz and .zst are decompressed while reading.

    A lone surrogate becomes U+FFFD, a byte order mark is left out. Raises `CorpusError` naming file and line (from 1) for
    broken JSON, invalid UTF-8 or a line that is no object, and for a file that is damaged, cut off or cannot be read.
    """
    number = 0
    try:
        with path.open("rb") as raw, _decompressed(raw, path) as file:
            num_bytes = max(os.fstat(raw.fileno()).st_size, 1)
            for number, line in enumerate(file):
                if number % LINES_BETWEEN_PROGRESS == 0:
                    progress(raw.tell() / num_bytes)
                if number == 0:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, _parse(line, f"{path}, line {number + 1}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(
            f"{path}, after line {number + 1}: compressed data is damaged or cut off: {error}."
        ) from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}.") from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    cut = "" if line.endswith(b"\n") else "The file ends inside this line: was its writer interrupted?"
    value = parse_json(line, where, CorpusError, cut)
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: is a JSON {type(value).__name__}; an object was expected.")
    return without_surrogates(value) if _SURROGATE.search(line) else value


def _decompressed(raw: BinaryIO, path: Path) -> BinaryIO | io.BufferedReader:
    if path.name.endswith(".gz"):
        return gzip.open(raw, "rb")  # type: ignore[return-value]
    if path.name.endswith(".zst"):
        return io.BufferedReader(_ZstdFrames(raw, path))
    return raw


class _ZstdFrames(io.RawIOBase):
    """What a .zst file holds, all its frames. zstandard's own reader takes a frame that is cut off for a whole one."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"Reading {path.name}", "zstandard", "zstd") from error
        self._raw = raw
        self._error = zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        """The one being read; None between two."""
        self._compressed = b""
        self._content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`. Raises `EOFError` for a frame that is cut off or damaged."""
        while not self._content:
            compressed = self._compressed or self._raw.read(COMPRESSED_BYTES)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("the file ends inside a frame")
                return 0
            self._frame = self._frame or self._new_frame()
            try:
                self._content = memoryview(self._frame.decompress(compressed))
            except self._error as error:
                raise EOFError(str(error)) from error
            self._compressed = b""
            if self._frame.eof:
                self._compressed, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._content))
        buffer[:count] = self._content[:count]
        self._content = self._content[count:]
        return count
