"""JSON Lines files, plain or compressed, with errors that name the line; and JSON in other layouts."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO

import orjson

from phf.corpus.formats.compression import DAMAGE, damage
from phf.corpus.formats.row_policy import BadRowError, OnBad, stop
from phf.corpus.formats.stored import StoredFile, opened, reading
from phf.errors import CorpusError
from phf.storage.reading import MAX_DEPTH, parse_json, without_surrogates

ReadProgress = Callable[[float], None]
"""Called from time to time with the share of a file that has been read, in [0, 1]."""
LINES_BETWEEN_PROGRESS = 100
CHUNK_BYTES = 2**20
MAX_ELEMENT_CHARS = 2**31
"""Maximum size of one object of a JSON array."""
_ATOMS = frozenset((str, int, bool, NoneType))
_LEAST_LARGE_FLOAT = 2.0**63
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""As JSON spells one; most are halves of a pair, which make up a character."""
_SPACES = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


def ignore_progress(fraction: float) -> None:
    """For readers whose progress is not displayed."""


def read_json_lines(path: Path, progress: ReadProgress = ignore_progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 0, object) of each non-blank line; compressed files are decompressed while reading.

    A lone surrogate becomes U+FFFD, a byte order mark is left out. Raises `CorpusError` naming file and line (from 1) for
    broken JSON, invalid UTF-8 or a line that is not an object, and for a file that is damaged, truncated or unreadable.
    """
    with reading(path):
        file = StoredFile.local(path)
    with opened(file) as stream:
        for number, values in json_lines(file, stream.raw, stream.content, stop, progress):
            yield number - 1, values


def json_lines(
    file: StoredFile, raw: BinaryIO, content: BinaryIO, bad: OnBad, progress: ReadProgress, first: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line from 1, object) of each non-blank line that can be read; `raw` is `content` as it is stored.

    `first`: the number of the line that the content begins with.
    """
    place, number = file.location, first - 1
    num_bytes = max(file.num_bytes, 1)
    try:
        for number, line in enumerate(content, start=first):
            if number % LINES_BETWEEN_PROGRESS == 1:
                progress(min(raw.tell() / num_bytes, 1.0))
                line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if line.strip():
                try:
                    values = _parse(line, f"{place}, line {number}")
                except BadRowError as error:
                    bad(error)
                    continue
                yield number, values
    except DAMAGE as error:
        bad(damage(f"{place}, after line {number}", error))
    except OSError as error:
        bad(CorpusError(f"{place} cannot be read after line {number}: {error.strerror or error}."))


def json_elements(
    file: StoredFile, raw: BinaryIO, content: BinaryIO, bad: OnBad, progress: ReadProgress
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(element from 0, line from 1 on which it begins, object) of a JSON array, or of objects that span several lines.

    Read incrementally, with one element in memory at a time. After broken JSON the rest of the file cannot be parsed.
    """
    text = _Text(file, raw, content, progress)
    try:
        yield from _elements(text, file.location, bad)
    except DAMAGE as error:
        bad(damage(f"{file.location}, after line {text.line}", error))
    except UnicodeDecodeError as error:
        bad(BadRowError(f"{file.location}, after line {text.line}", f"is not UTF-8 ({error.reason})."))
    except OSError as error:
        bad(CorpusError(f"{file.location} cannot be read after line {text.line}: {error.strerror or error}."))
    except BadRowError as error:
        bad(error)


def _elements(text: "_Text", place: str, bad: OnBad) -> Iterator[tuple[int, int, dict[str, Any]]]:
    is_array, number = False, -1
    while first := text.skip(_BETWEEN if is_array else _SPACES):
        if first == ("]" if is_array else "["):  # several arrays may follow each other
            is_array = not is_array
            text.take(1)
            continue
        line, number = text.line, number + 1
        value = text.element()
        if isinstance(value, dict):
            yield number, line, without_surrogates(value)
        else:
            bad(BadRowError(f"{place}, line {line}", f"is a JSON {type(value).__name__}; an object was expected."))
    if is_array:
        raise BadRowError(
            f"{place}, line {text.line}", "the file ends inside a JSON array: was its writer interrupted?"
        )


class _Text:
    """The text of a file, as much of it as the current element needs."""

    def __init__(self, file: StoredFile, raw: BinaryIO, content: BinaryIO, progress: ReadProgress) -> None:
        self.line = 1
        self._place = file.location
        self._num_bytes = max(file.num_bytes, 1)
        self._raw, self._content, self._progress = raw, content, progress
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._start = 0
        self._is_whole = False

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Skip what is between elements; returns the next character, "" at the end of the file."""
        while True:
            match = pattern.match(self._text, self._start)
            assert match is not None
            if match.end() < len(self._text) or self._is_whole:
                self.take(match.end() - self._start)
                return self._text[self._start : self._start + 1]
            self._more()

    def take(self, count: int) -> None:
        """Skip a number of characters."""
        self.line += self._text.count("\n", self._start, self._start + count)
        self._start += count

    def element(self) -> Any:
        """The next element. Raises `BadRowError` if it is broken."""
        while True:
            try:
                value, end = self._parse(self._text, self._start)
                if end < len(self._text) or self._is_whole:  # a number may continue
                    if self._text.count("[", self._start, end) + self._text.count("{", self._start, end) > MAX_DEPTH:
                        value = self._shallow(self._text[self._start : end])
                    self.take(end - self._start)
                    return value
            except json.JSONDecodeError as error:
                if self._is_whole or not _may_be_cut_off(error, len(self._text)):
                    line = self.line + self._text.count("\n", self._start, error.pos)
                    raise BadRowError(f"{self._place}, line {line}", f"is not valid JSON: {error.msg}.") from None
            except BadRowError:
                raise
            except (ValueError, RecursionError) as error:
                reason = f"is JSON that cannot be read: {str(error).partition(';')[0]}."
                raise BadRowError(f"{self._place}, line {self.line}", reason) from None
            if len(self._text) - self._start > MAX_ELEMENT_CHARS:
                raise BadRowError(f"{self._place}, line {self.line}", "is an object of more than 2 GiB of JSON.")
            self._more()

    def _shallow(self, element: str) -> Any:
        """Raise if an element is nested too deeply, as for a line."""
        place = f"{self._place}, line {self.line}"
        return parse_json(element, place, lambda message: BadRowError.of(place, message))

    def _more(self) -> None:
        """Read more: twice as much each time, so that a long element is not parsed again and again."""
        self._progress(min(self._raw.tell() / self._num_bytes, 1.0))
        rest = self._text[self._start :]
        read = self._content.read(max(CHUNK_BYTES, len(rest)))
        self._is_whole = not read
        self._text, self._start = rest + self._decode(read, final=not read), 0


def _may_be_cut_off(error: json.JSONDecodeError, length: int) -> bool:
    """Whether more text could make it valid: it ends inside a string, or nearly where it was found to be wrong."""
    return error.msg.startswith("Unterminated string") or error.pos >= length - 16


def is_laid_out(head: bytes) -> bool:
    """Whether JSON that begins like this is an array, or objects that span several lines, instead of one object per line."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"["):
        return True
    line, newline, rest = text.partition(b"\n")
    if not (text.startswith(b"{") and newline and rest.strip()):
        return False
    first = line.decode("utf-8", "replace").rstrip()
    try:
        json.loads(first)
    except json.JSONDecodeError as error:  # a string cannot continue in the next line, an object can
        end = len(first) - first.endswith(
            ","
        )  # newer versions of Python report the comma, older ones what should follow
        return error.pos >= end and not error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):
        return False
    return False


def _parse(line: bytes, place: str) -> dict[str, Any]:
    """The object of a line, as `_parse_leniently` returns it, but nearly always several times as fast."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        pass  # broken; or contains NaN, a lone surrogate or the like, which is accepted
    else:
        if type(value) is dict and (_ATOMS.issuperset(map(type, value.values())) or _is_exact(value)):
            return value
    return _parse_leniently(line, place)


def _parse_leniently(line: bytes, place: str) -> dict[str, Any]:
    cut = "" if line.endswith(b"\n") else "The file ends inside this line: was its writer interrupted?"
    value = parse_json(line, place, lambda message: BadRowError.of(place, message), cut)
    if not isinstance(value, dict):
        raise BadRowError(place, f"is a JSON {type(value).__name__}; an object was expected.")
    return without_surrogates(value) if _SURROGATE.search(line) else value


def _is_exact(value: Any, depth: int = 1) -> bool:
    """Whether a value that orjson parsed is certainly the one that `parse_json` returns.

    orjson reads integers of more than 64 bits as floats, and nests deeper.
    """
    if type(value) in _ATOMS:
        return True
    if type(value) is float:
        return abs(value) < _LEAST_LARGE_FLOAT
    elements = value.values() if type(value) is dict else value
    return depth < MAX_DEPTH and all(_is_exact(element, depth + 1) for element in elements)
