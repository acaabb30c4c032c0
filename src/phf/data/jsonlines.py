"""JSON Lines files, plain or compressed, with errors that name the line."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from phf.errors import CorpusError, MissingExtraError


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 0, object) of each non-blank line; .gz and .zst are decompressed while reading.

    Raises `CorpusError` naming file and line (from 1) for broken JSON, invalid UTF-8 or a line that is no object.
    """
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file):
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


def _open(path: Path) -> BinaryIO | io.BufferedReader:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.name.endswith(".zst"):
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"Reading {path.name}", "zstandard", "zstd") from error
        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")
