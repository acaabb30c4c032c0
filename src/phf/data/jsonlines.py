"""JSON Lines files, plain or compressed, with errors that name the line."""

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from phf.errors import CorpusError, MissingExtraError

ReadProgress = Callable[[float], None]
"""Called now and then with the share of a file that has been read, in [0, 1]."""
LINES_BETWEEN_PROGRESS = 100
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""As JSON spells one; most are halves of a pair, which is a character."""


def ignore_progress(fraction: float) -> None:
    """For readers nobody watches."""


def read_json_lines(path: Path, progress: ReadProgress = ignore_progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 0, object) of each non-blank line; .gz and .zst are decompressed while reading.

    A lone surrogate becomes U+FFFD. Raises `CorpusError` naming file and line (from 1) for broken JSON, invalid UTF-8 or
    a line that is no object.
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
    return without_surrogates(value) if _SURROGATE.search(line) else value


def without_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD for each lone surrogate in it: JSON can spell one, but no file can hold it as UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(element) for key, element in value.items()}
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
