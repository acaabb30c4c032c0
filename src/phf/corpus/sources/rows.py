"""The rows of one file of records, whatever its format, each with its place."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from phf.corpus.formats.delimited import delimited_rows
from phf.corpus.formats.jsonlines import ReadProgress, ignore_progress, is_laid_out, json_elements, json_lines
from phf.corpus.formats.kinds import kind_by_magic, refuse_foreign
from phf.corpus.formats.row_policy import BadRowError, Choose, Chosen, OnBad, stop
from phf.corpus.formats.stored import Opened, is_url, opened, reaching
from phf.corpus.formats.tables import KIND_NAMES, table_rows
from phf.corpus.sources.listing import ListedFile
from phf.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source as it was found, and where."""

    file: str
    """Path, URL or name of a dataset."""
    row: int
    """From 0."""
    values: dict[str, Any]
    """Of the columns that were asked for, at least."""
    line: int | None = None
    """Line of the file on which it begins, from 1; None where there are no lines."""
    name: str = ""
    """What ids that are made for its rows begin with."""
    names: Sequence[str] = ()
    """Of all columns, where other columns than those in `values` were not read."""

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.row}" if self.line is None else f"{self.file}, line {self.line}"

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns that the row has."""
        return self.names or list(self.values)


def read_file(
    file: ListedFile, choose: Choose, bad: OnBad = stop, progress: ReadProgress = ignore_progress
) -> Iterator[Record]:
    """The rows of a file of records in their order.

    `choose`: of a columnar file, the columns that are read; rows of text formats come whole. `bad` is called for each row
    that cannot be read, and once for a file, or the rest of one, that cannot.
    """
    place, name = file.stored.location, file.name
    bad = _with_place(place, bad)
    try:
        # the library behind a URL may fail at any read
        with reaching(place) if is_url(place) else nullcontext(), opened(file.stored) as found:
            refuse_foreign(place, found.head)
            kind = kind_by_magic(found.head) or file.kind
            if kind in KIND_NAMES:
                yield from _table(file, kind, found, choose, bad, progress)
            elif kind == "csv":
                # a header without text is an error at once; of the rows, nothing but text can be bad
                rows = delimited_rows(file.stored, found.raw, found.content, found.head, choose, bad, progress)
                yield from (Record(place, row, values, line, name) for row, line, values in rows)
            elif is_laid_out(found.head):
                elements = json_elements(file.stored, found.raw, found.content, bad, progress)
                yield from (Record(place, row, values, line, name) for row, line, values in elements)
            else:
                lines = json_lines(file.stored, found.raw, found.content, bad, progress)
                yield from (Record(place, line - 1, values, line, name) for line, values in lines)
    except CorpusError as error:
        bad(error)


def _with_place(place: str, bad: OnBad) -> OnBad:
    """The same, told of a file as of a row, by its place and what is wrong."""

    def placed(error: CorpusError) -> None:
        bad(error if isinstance(error, BadRowError) else BadRowError.of(place, str(error)))

    return placed


def _table(
    file: ListedFile, kind: str, found: Opened, choose: Choose, bad: OnBad, progress: ReadProgress
) -> Iterator[Record]:
    place = file.stored.location
    if not file.stored.num_bytes:
        raise CorpusError(f"{place}: is empty (0 bytes), unlike any {KIND_NAMES[kind]} file.")
    if found.compression is not None:
        raise CorpusError(
            f"{place}: is a compressed {KIND_NAMES[kind]} file. Decompress it first: it has to be read at any place."
        )
    names: list[str] = []

    def choosing(known: Sequence[str]) -> Chosen:
        names[:] = known
        return choose(known)

    for row, values in table_rows(file.stored, kind, found.content, choosing, bad, progress):
        yield Record(place, row, values, None, file.name, names)
