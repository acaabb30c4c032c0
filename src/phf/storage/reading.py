"""The one place where files are decoded, parsed and typed (YAML: `phf.storage.plain_yaml`).

Every problem (not UTF-8, truncated, nested a thousand levels deep, text instead of a number) becomes an error of the
caller's class that names file, line and key.
"""

import codecs
import json
import math
import os
import select
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from types import GenericAlias
from typing import Any, get_type_hints

from phf.errors import CorpusError, PhfError

ErrorType = Callable[[str], PhfError]
"""Builds the error from its message."""
MAX_DEPTH = 100
"""Maximum nesting of mappings and lists: Python can parse slightly more, but then cannot write, compare or show it."""
INTEGERS = range(-(2**63), 2**64)
FIFO_SECONDS, OPENING_SECONDS = 60.0, 2.0
"""How long the command that writes into a FIFO may be silent, and how long one is waited for that opens it."""
ENDLESS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
"""What is not a file with an end."""


def endless(path: Path) -> str | None:
    """What a path is, if reading it might never end; None for files, links to files, and what is not there."""
    try:
        return ENDLESS.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):
        return None


def read_bytes(path: Path, error: ErrorType, advice: str = "", max_bytes: int = -1) -> bytes:
    """The content of a file; with `max_bytes` also of what may have no end, such as a shell's `<(command)`.

    `advice`, here and below: the end of the message, which says what to do.
    """
    if max_bytes < 0 and (kind := endless(path)) is not None:
        raise error(sentence(f"{path}: is {kind}, not a regular file", advice))
    try:
        if path.is_fifo():
            content = _read_fifo(path, max_bytes + 1)
        else:
            with path.open("rb") as file:
                content = file.read(max_bytes + 1 if max_bytes >= 0 else -1)
    except (OSError, ValueError) as problem:  # ValueError: a NUL character in the name
        reason = getattr(problem, "strerror", None) or problem
        raise error(sentence(f"{path}: cannot be read: {reason}", advice)) from problem
    if 0 <= max_bytes < len(content):
        raise error(sentence(f"{path}: is larger than {max_bytes:,} bytes", advice))
    return content


def _read_fifo(path: Path, num_bytes: int) -> bytes:
    """What a command writes into a FIFO, at most `num_bytes`; nothing if none opens it.

    Raises `TimeoutError` for a command that opens it and then writes nothing for long.
    """
    content = b""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        last = time.monotonic()
        while len(content) < num_bytes:
            waited = time.monotonic() - last
            try:
                part = os.read(descriptor, num_bytes - len(content))
            except BlockingIOError:  # a command has opened it
                if waited > FIFO_SECONDS:
                    raise TimeoutError(f"nothing was written to it for {FIFO_SECONDS:g} seconds") from None
                select.select([descriptor], [], [], 1)
                continue
            if not part and (content or waited > OPENING_SECONDS):
                break
            if part:
                content, last = content + part, time.monotonic()
            else:
                time.sleep(0.02)
    finally:
        os.close(descriptor)
    return content


def read_text(path: Path, error: ErrorType, advice: str = "") -> str:
    """The UTF-8 text of a file, without a byte order mark."""
    return decode(read_bytes(path, error, advice), str(path), error, advice)


def read_json(path: Path, error: ErrorType, advice: str = "", *, finite: bool = False) -> Any:
    """The value in a JSON file; see `parse_json`."""
    return parse_json(read_bytes(path, error, advice), str(path), error, advice, finite=finite)


def read_json_as(shape: Any, path: Path, error: ErrorType, advice: str = "", *, finite: bool = False) -> Any:
    """The value in a JSON file, if it matches the type; see `parse_json` and `typed`."""
    return typed(shape, read_json(path, error, advice, finite=finite), str(path), error, advice)


def read_json_lines_as(
    shape: Any, path: Path, error: ErrorType, advice: str = "", *, cut_off: Callable[[], None] | None = None
) -> Iterator[tuple[str, Any]]:
    """("FILE, line N", value) of each line of a JSON Lines file of ours, in which all numbers are finite.

    `cut_off`: called, instead of an error, if an interruption left an incomplete last line.
    """
    lines = read_bytes(path, error, advice).splitlines(keepends=True)
    if cut_off is not None and lines and not is_whole(lines[-1]):
        cut_off()
        lines.pop()
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        yield where, typed(shape, parse_json(line, where, error, advice, finite=True), where, error, advice)


def is_whole(line: bytes) -> bool:
    """Whether the last line of a JSON Lines file of objects is complete: also without the newline, as editors leave it."""
    if line.endswith(b"\n"):
        return True
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def decode(content: bytes, where: str, error: ErrorType, advice: str = "") -> str:
    """UTF-8 text, without a byte order mark."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise error(sentence(f"{where}: is UTF-16; save it as UTF-8", advice))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        at = _line(content, problem.start)
        raise error(sentence(f"{where}{at}: is not UTF-8 (byte {problem.start})", advice)) from None


def parse_json(
    content: bytes | str, where: str, error: ErrorType = CorpusError, advice: str = "", *, finite: bool = False
) -> Any:
    """The value of JSON text.

    `finite`: refuse NaN, Infinity and numbers that do not fit into 64 bits, which would break arithmetic. Otherwise
    NaN and Infinity, which are not JSON but which many programs write, are floats.
    """
    text = content if isinstance(content, str) else decode(content, where, error, advice)
    hooks: dict[str, Any] = {"parse_constant": finite_float, "parse_float": finite_float, "parse_int": bounded_int}
    try:
        value = json.loads(text.removeprefix("\ufeff"), **(hooks if finite else {}))
        if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
            raise RecursionError
        return value
    except json.JSONDecodeError as problem:
        if not text.strip():
            raise error(sentence(f"{where}: is empty; JSON was expected", advice)) from None
        at = f"{_line(text, problem.pos)}: is not valid JSON: {problem.msg} (column {problem.colno})"
        raise error(sentence(where + at, advice)) from None
    except RecursionError:
        raise error(sentence(f"{where}: is nested more than {MAX_DEPTH} deep", advice)) from None
    except ValueError as problem:  # from the hooks, or an integer of thousands of digits
        reason = str(problem).partition(";")[0]
        raise error(sentence(f"{where}: contains a number that cannot be used: {reason}", advice)) from None


def _line(content: Any, position: int) -> str:
    """ ", line N" in a file of several lines; empty for one line, which the caller has named."""
    newline = b"\n" if isinstance(content, bytes) else "\n"
    is_one = newline not in content.strip()
    return "" if is_one else f", line {content.count(newline, 0, position) + 1}"


def finite_float(digits: str) -> float:
    """A number that a float can hold. Raises `ValueError` for others, infinity and NaN."""
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{short(digits)} is not a finite number")
    return value


def bounded_int(digits: str) -> int:
    """A number of 64 bits. Raises `ValueError` for larger ones."""
    if len(digits) > 20 or int(digits) not in INTEGERS:
        raise ValueError(f"{short(digits)} has more than 64 bits")
    return int(digits)


def _is_too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [element for element in level if isinstance(element, dict | list)]
        level = list(chain.from_iterable(_elements(container) for container in level))
    return bool(level)


def _elements(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def without_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD for each lone surrogate in it: JSON can represent one, but UTF-8 cannot."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(element) for key, element in value.items()}
    return value


EXPECTED = {
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
"""Meaning of pydantic's error types for people who know neither Python nor pydantic."""


def typed(shape: Any, value: Any, where: str, error: ErrorType, advice: str = "") -> Any:
    """`value`, if it matches the type (a `TypedDict`, `list[str]`, ...); nothing is converted.

    For a dataclass, whose fields may have such types, an instance is made from a mapping. Otherwise an error that names
    the first key that is missing, unknown or of the wrong type.
    """
    if shape == dict[str, Any] and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value  # without pydantic, which takes a tenth of a second to import

    from pydantic import ValidationError

    if is_dataclass(shape):
        return _instance(shape, value, where, error, advice)
    try:
        return _adapter(shape).validate_python(value, strict=True)
    except ValidationError as problems:
        problem = problems.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    key = f"'{short(key)}' " if key else ""
    if problem["type"] == "missing":
        raise error(sentence(f"{where}: {key}is missing", advice))
    value, kind = short(repr(problem["input"])), EXPECTED.get(problem["type"])
    if kind == "a mapping" and not key:
        value = f"a JSON {type(problem['input']).__name__}"
    reason = problem["msg"] if kind is None else f"{kind} was expected"
    raise error(sentence(f"{where}: {key}is {value}; {reason}", advice))


def _instance(cls: Any, value: Any, where: str, error: ErrorType, advice: str) -> Any:
    mapping = typed(dict[str, Any], value, where, error, advice)
    hints = get_type_hints(cls)
    if unknown := [key for key in mapping if key not in hints]:
        raise error(sentence(f"{where}: '{short(unknown[0])}' is unknown", advice))
    needed = [field.name for field in fields(cls) if field.default is field.default_factory is MISSING]
    if missing := [key for key in needed if key not in mapping]:
        raise error(sentence(f"{where}: '{missing[0]}' is missing", advice))
    for key, value in mapping.items():
        typed(GenericAlias(dict, (str, hints[key])), {key: value}, where, error, advice)
    return cls(**mapping)


@cache
def _adapter(shape: Any) -> Any:
    from pydantic import TypeAdapter  # a tenth of a worker's start-up time

    return TypeAdapter(shape)


def short(text: str) -> str:
    """At most 80 characters of a text."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def sentence(problem: str, advice: str) -> str:
    """The two sentences of a message; the second may be missing."""
    return f"{problem}. {advice}".rstrip()
