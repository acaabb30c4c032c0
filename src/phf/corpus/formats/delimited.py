"""CSV and TSV files, row by row, with errors that name the line."""

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from phf.corpus.formats.compression import DAMAGE, damage
from phf.corpus.formats.jsonlines import LINES_BETWEEN_PROGRESS, ReadProgress
from phf.corpus.formats.row_policy import BadRowError, Choose, OnBad
from phf.corpus.formats.stored import StoredFile
from phf.errors import CorpusError
from phf.text import counted

MAX_FIELD_CHARS = 2**31 - 1
DELIMITERS = ",\t;|"


def header_of(head: bytes) -> list[str]:
    """Names of the columns of a file that begins like this: its first line, cut where it is cut most often."""
    text = head.decode(_encoding(head), "replace")
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)), [])
    except csv.Error:
        return []


def delimited_rows(
    file: StoredFile, raw: BinaryIO, content: BinaryIO, head: bytes, choose: Choose, bad: OnBad, progress: ReadProgress
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(row from 0, line from 1 on which it begins, column -> text) of a file with a row of names at its top."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    place = file.location
    # bytes that are not UTF-8 become lone surrogates, so that the row they are in can be reported
    lines = io.TextIOWrapper(content, encoding=_encoding(head), errors="surrogateescape", newline="")
    rows = csv.reader(lines, delimiter=_delimiter(head.decode(_encoding(head), "replace")), strict=True)
    number, line = -1, 1
    names: list[str] | None = None
    while True:
        try:
            values = next(rows, None)
            if values is None:
                return
            if not values:  # a blank line
                pass
            elif names is None:
                names = values
                if len(set(names)) < len(names):
                    raise CorpusError(f"{place}: two of its columns have the same name: {names}.")
                _check(names, choose, place)
            else:
                number += 1
                if number % LINES_BETWEEN_PROGRESS == 0:
                    progress(min(raw.tell() / max(file.num_bytes, 1), 1.0))
                yield number, line, _row(names, values, f"{place}, line {line}")
        except BadRowError as error:
            bad(error)
        except csv.Error as error:
            number += 1
            bad(BadRowError(f"{place}, line {line}", f"is not a row of CSV: {error}."))
        except DAMAGE as error:
            bad(damage(f"{place}, after line {rows.line_num}", error))
            return
        except OSError as error:
            bad(CorpusError(f"{place} cannot be read after line {rows.line_num}: {error.strerror or error}."))
            return
        except UnicodeDecodeError as error:
            bad(BadRowError(f"{place}, after line {rows.line_num}", f"is not {error.encoding} ({error.reason})."))
            return
        line = rows.line_num + 1


def _check(names: list[str], choose: Choose, place: str) -> None:
    try:
        choose(names)
    except CorpusError as error:
        raise CorpusError(f"{place}, line 1, which names the columns: {error}") from None


def _row(names: list[str], values: list[str], place: str) -> dict[str, Any]:
    if len(values) != len(names):
        raise BadRowError(
            place, f"has {counted(len(values), 'field')}, but the file has {counted(len(names), 'column')}."
        )
    for name, value in zip(names, values, strict=True):
        if not value.isascii() and not _is_utf8(value):
            raise BadRowError(place, f"its '{name}' is not UTF-8.")
    return dict(zip(names, values, strict=True))


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoding(head: bytes) -> str:
    """UTF-8, or the UTF-16 of spreadsheets, which begins with a byte order mark."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(DELIMITERS, key=lambda delimiter: (first.count(delimiter), -DELIMITERS.index(delimiter)))
