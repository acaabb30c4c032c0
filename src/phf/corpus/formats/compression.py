"""Compressed files, decompressed while reading: gzip, zstd, xz and bzip2, recognised by their first bytes, not their names."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from phf.errors import ConfigError, CorpusError, MissingExtraError

MAGIC = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd", "xz": b"\xfd7zXZ\0", "bz2": b"BZh"}
"""Compression -> how its files begin."""
SUFFIXES = {"gz": "gz", "gzip": "gz", "zst": "zst", "zstd": "zst", "xz": "xz", "bz2": "bz2"}
"""Last part of a file's name, in lower case -> compression."""
SKIPPABLE_ZSTD = tuple(bytes([first, 0x2A, 0x4D, 0x18]) for first in range(0x50, 0x60))
"""A .zst file may begin with a frame of metadata, which pzstd writes."""
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
"""Raised when compressed data that is being read is damaged or truncated."""
MAX_ZSTD_WINDOW = 2**31
"""Window of `zstd --long=31`, the longest possible; by default the decompressor refuses more than 128 MiB."""
COMPRESSED_BYTES = 2**14
"""Bytes read at a time."""
SLICE_BYTES = 2**11
"""Bytes that zstandard decompresses at a time, without a limit on the result: each may expand to more than 30,000."""
BUFFER_BYTES = 2**17
MAX_LINE_BYTES = 2**28
"""Of a line of a compressed file: a bomb of a few kilobytes is one line of gigabytes, which would be held in memory."""
FREE_BYTES = 2**30
"""Content of a file before its ratio is looked at."""
MAX_RATIO = 10_000
"""Content to compressed bytes. A text repeated over and over reaches up to 1,000 in gzip and 7,000 in zstd and xz."""
LARGE_WINDOW = 2**29
"""Bytes. A larger window of a zstd frame is filled only for a file with more content that is not small itself."""
LARGE_WINDOW_RATIO = 100
"""`MAX_RATIO` with such a window, beyond it."""
MAX_XZ_MEMORY = 2**30
"""Of the decompressor; `xz -9` needs 65 MiB."""
RATIO_VARIABLE = "PHF_MAX_RATIO"
"""Environment variable that sets another `MAX_RATIO` and `LARGE_WINDOW_RATIO`."""


def compression_of(name: str, head: bytes) -> str | None:
    """The compression of a file by its first bytes, otherwise by its name; None for a plain one.

    A plain file of JSON that is named as if it were compressed (some downloads are) is plain.
    """
    for compression, magic in MAGIC.items():
        if head.startswith(magic):
            return compression
    if head.startswith(SKIPPABLE_ZSTD):
        return "zst"
    named = SUFFIXES.get(name.rpartition(".")[2].lower())
    return None if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else named


def decompressed(raw: BinaryIO, compression: str | None, name: str) -> BinaryIO:
    """What a file holds. Reading it raises one of `DAMAGE`, or an `OSError`, if it is damaged or truncated."""
    if compression is None:
        return raw
    if compression == "zst":
        frames = _ZstdFrames(raw, name)
        bounded = _Bounded(raw, frames.readinto, name, lambda: frames.window)
        return cast(BinaryIO, io.BufferedReader(bounded, BUFFER_BYTES))
    read_into: Callable[[Any], int]
    if compression == "gz":
        read_into = gzip.GzipFile(
            fileobj=raw, mode="rb"
        ).readinto1  # what comes before damage is returned before it is raised
    else:
        read_into = _Streams(raw, bz2.BZ2Decompressor if compression == "bz2" else _new_xz_stream).readinto
    return cast(BinaryIO, io.BufferedReader(_Bounded(raw, read_into, name), BUFFER_BYTES))


def _new_xz_stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)


def damage(place: str, error: BaseException) -> CorpusError:
    """The error for a file that is damaged or truncated after `place` ("a.gz, after line 3")."""
    return CorpusError(f"{place}: compressed data is damaged or cut off: {error}.")


class _Bounded(io.RawIOBase):
    """The content of a compressed file, as far as it is plausible: without lines of hundreds of megabytes, or a huge ratio."""

    def __init__(
        self, raw: BinaryIO, read_into: Callable[[Any], int], name: str, window: Callable[[], int] = lambda: 0
    ) -> None:
        """`window`: bytes of the content that decompressing needs at the moment, or will."""
        self._raw, self._read_into, self._name, self._window = raw, read_into, name, window
        self._max_ratio, self._large_window_ratio = max_ratio(), max_ratio(LARGE_WINDOW_RATIO)
        self._num_bytes = 0
        self._num_of_line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`. Raises `CorpusError` for what expands too far."""
        count = self._read_into(buffer)
        self._num_bytes += count
        newline = bytes(buffer[:count]).rfind(b"\n")
        self._num_of_line = count - newline - 1 if newline >= 0 else self._num_of_line + count
        if self._num_of_line > MAX_LINE_BYTES:
            raise CorpusError(
                f"{self._name}: has a line of more than {MAX_LINE_BYTES:,} bytes, which is not read from a compressed file. If "
                "that is right, decompress the file first."
            )
        if self._num_bytes > FREE_BYTES:
            self._check_ratio(self._max_ratio)
        if self._num_bytes > LARGE_WINDOW and self._window() > LARGE_WINDOW:
            self._check_ratio(self._large_window_ratio)
        return count

    def _check_ratio(self, ratio: int) -> None:
        if self._num_bytes > ratio * self._raw.tell():
            raise CorpusError(
                f"{self._name}: expands to more than {ratio:,} times its size. If that is right, set the environment variable "
                f"{RATIO_VARIABLE} to a larger number, or decompress the file first."
            )


def max_ratio(default: int | None = None) -> int:
    """The largest ratio of a file's content to its size; `default`, or `MAX_RATIO`, unless the environment sets another.

    Raises `ConfigError` for a value that is not a positive whole number.
    """
    written = os.environ.get(RATIO_VARIABLE, "").strip()
    if written and not (written.isascii() and written.isdecimal() and int(written[:18]) > 0 and len(written) <= 18):
        raise ConfigError(
            f"The environment variable {RATIO_VARIABLE} is {written[:80]!r}; set it to a positive whole number."
        )
    return int(written or default or MAX_RATIO)


class _ZstdFrames(io.RawIOBase):
    """What a .zst file holds, all its frames. zstandard's own reader accepts a truncated frame as complete."""

    def __init__(self, raw: BinaryIO, name: str) -> None:
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"Reading {name}", "zstandard", "zstd") from error
        self._raw = raw
        self._error = zstandard.ZstdError
        self._parameters = zstandard.get_frame_parameters
        self._new_frame = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).decompressobj
        self._frame: Any = None
        """The one being read; None between two."""
        self.window = 0
        """Bytes of the window of the frame that was read last."""
        self._compressed = memoryview(b"")
        self._content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`. Raises `EOFError` for a frame that is truncated or damaged."""
        while not self._content:
            compressed = self._compressed or memoryview(self._raw.read(COMPRESSED_BYTES))
            self._compressed, compressed = compressed[SLICE_BYTES:], compressed[:SLICE_BYTES]
            if not compressed:
                if self._frame is not None:
                    raise EOFError("the file ends inside a frame")
                return 0
            if self._frame is None:
                self._frame, self.window = self._new_frame(), self._window_of(compressed)
            try:
                self._content = memoryview(self._frame.decompress(compressed))
            except self._error as error:
                raise EOFError(str(error)) from error
            if self._frame.eof:
                behind = self._frame.unused_data
                self._compressed, self._frame = memoryview(bytes(behind) + bytes(self._compressed)), None
        count = min(len(buffer), len(self._content))
        buffer[:count] = self._content[:count]
        self._content = self._content[count:]
        return count

    def _window_of(self, start: memoryview) -> int:
        """The window of the frame that begins here: the largest one if not enough of it is there to tell."""
        try:
            return int(self._parameters(bytes(start)).window_size)
        except self._error:
            return MAX_ZSTD_WINDOW


class _Streams(io.RawIOBase):
    """What a .bz2 or .xz file holds, all its streams. Python's own readers drop everything after a damaged header."""

    def __init__(self, raw: BinaryIO, new_stream: Callable[[], Any]) -> None:
        self._raw = raw
        self._new_stream = new_stream
        self._stream: Any = new_stream()
        """The one being read; None between two."""
        self._behind = b""
        """The bytes read so far after the last stream."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`. Raises `EOFError` for a stream that is truncated or damaged; zeros after one are padding."""
        content = b""
        while not content:
            compressed = self._behind
            if self._stream is None or (self._stream.needs_input and not compressed):
                compressed = compressed or self._raw.read(COMPRESSED_BYTES)
                if not compressed and self._stream is None:
                    return 0
                if not compressed:
                    raise EOFError("the file ends inside a stream")
            self._behind = b""
            if self._stream is None:
                compressed = compressed.lstrip(b"\0")
                if not compressed:
                    continue
                self._stream = self._new_stream()
            try:
                content = self._stream.decompress(compressed, len(buffer))
            except (OSError, lzma.LZMAError) as error:
                raise EOFError(str(error)) from error
            if self._stream.eof:
                self._behind, self._stream = self._stream.unused_data, None
        buffer[: len(content)] = content
        return len(content)
