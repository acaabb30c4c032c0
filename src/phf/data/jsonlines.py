"""JSON Lines files, plain or compressed, with errors that name the line."""

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from phf.errors import CorpusError, MissingExtraError

ReadProgress = Callable[[float], None]
"""Called now and then with the share of a file that has been read, in [0, 1]."""
LINES_BETWEEN_PROGRESS = 100


def ignore_progress(fraction: float) -> None:
    """For readers nobody watches."""


def read_json_lines(path: Path, progress: ReadProgress = ignore_progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 0, object) of each non-blank line; .gz and .zst are decompressed while reading.

    Raises `CorpusError` naming file and line (from 1) for broken JSON, invalid UTF-8 or a line that is no object.
    """
    number = 0
    try:
        with path.open("rb") as raw, _decompressed(raw, path) as file:
            num_bytes = max(os.fstat(raw.fileno()).st_size, 1)
            for number, line in enumerate(file):
                if number % LINES_BETWEEN_PROGRESS == 0:
                    progress(raw.tell() / num_bytes)
                if line.strip():
                    yield number, _parse(line, f"{path}, line {number + 1}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(
            f"{path}, after line {number + 1}: compressed data is damaged or cut off: {error}."
        ) from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where}: is not UTF-8 (byte {error.start} of the line).") from None
    except json.JSONDecodeError as error:
        cut = "" if line.endswith(b"\n") else " The file ends inside this line: was its writer interrupted?"
        raise CorpusError(f"{where}: is not valid JSON: {error}.{cut}") from None
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: is a JSON {type(value).__name__}; an object was expected.")
    return value


def _decompressed(raw: BinaryIO, path: Path) -> BinaryIO | io.BufferedReader:
    if path.name.endswith(".gz"):
        return gzip.open(raw, "rb")  # type: ignore[return-value]
    if path.name.endswith(".zst"):
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"Reading {path.name}", "zstandard", "zstd") from error
        return io.BufferedReader(zstandard.open(raw, "rb"))
    return raw
