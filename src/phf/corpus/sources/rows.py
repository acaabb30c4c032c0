"""The rows of one file of records in any format, each with its place."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from phf.corpus.formats.compression import compression_of
from phf.corpus.formats.delimited import delimited_rows
from phf.corpus.formats.jsonlines import ReadProgress, ignore_progress, is_laid_out, json_elements, json_lines
from phf.corpus.formats.kinds import kind_by_magic, refuse_foreign
from phf.corpus.formats.parquet_rows import GroupSize, RowSpan, group_sizes
from phf.corpus.formats.row_policy import BadRowError, Choose, Chosen, OnBad, stop
from phf.corpus.formats.stored import HEAD_BYTES, Opened, is_url, opened, reaching, reading
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
    """Values of at least the requested columns."""
    line: int | None = None
    """Line of the file on which it begins, from 1; None if the format has no lines."""
    name: str = ""
    """Prefix of the ids that are generated for its rows."""
    names: Sequence[str] = ()
    """Names of all columns, if only those in `values` were read."""

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.row}" if self.line is None else f"{self.file}, line {self.line}"

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns that the row has."""
        return self.names or list(self.values)


def read_file(
    file: ListedFile,
    choose: Choose,
    bad: OnBad = stop,
    progress: ReadProgress = ignore_progress,
    span: RowSpan | None = None,
) -> Iterator[Record]:
    """The rows of a file of records in their order.

    `choose`: of a columnar file, the columns that are read; rows of text formats come whole. `bad` is called for each row
    that cannot be read, and once for a file, or the rest of one, that cannot. `span`: of a local Parquet file, the rows that
    are read; None: all.
    """
    place, name = file.stored.location, file.name
    bad = _with_place(place, bad)
    try:
        # the library behind a URL may fail at any read
        with reaching(place) if is_url(place) else nullcontext(), opened(file.stored) as stream:
            refuse_foreign(place, stream.head)
            kind = kind_by_magic(stream.head) or file.kind
            if kind in KIND_NAMES:
                yield from _table(file, kind, stream, choose, bad, progress, span)
            elif kind == "csv":
                # a header without text is an error at once; in the rows, only text can be bad
                rows = delimited_rows(file.stored, stream.raw, stream.content, stream.head, choose, bad, progress)
                yield from (Record(place, row, values, line, name) for row, line, values in rows)
            elif is_laid_out(stream.head):
                elements = json_elements(file.stored, stream.raw, stream.content, bad, progress)
                yield from (Record(place, row, values, line, name) for row, line, values in elements)
            else:
                lines = json_lines(file.stored, stream.raw, stream.content, bad, progress)
                yield from (Record(place, line - 1, values, line, name) for line, values in lines)
    except CorpusError as error:
        bad(error)


@dataclass(frozen=True, slots=True)
class LineSpan:
    """Whole lines of a file of JSON Lines that is not compressed."""

    start: int
    """Byte at which the first of them begins."""
    end: int
    """Byte after the last of them."""
    first_line: int
    """Number of the first of them, from 1."""


def has_line_spans(file: ListedFile) -> bool:
    """Whether a file of records can be read from any line on: local JSON Lines, not compressed."""
    if file.kind != "json" or is_url(file.stored.location):
        return False
    try:
        with file.stored.open() as content:
            head = content.read(HEAD_BYTES)
        refuse_foreign(file.stored.location, head)
    except (CorpusError, OSError):
        return False  # reported when it is read
    is_compressed = compression_of(file.stored.name, head) is not None
    return not is_compressed and kind_by_magic(head) is None and not is_laid_out(head)


def line_spans(
    file: ListedFile, start: int, first_line: int, size: Callable[[int], int]
) -> Iterator[tuple[LineSpan, int]]:
    """The lines of a file from one on, cut into spans; each with the number of the line after it.

    `size`: bytes that are left of the file -> bytes that the next span has at least, and ends with their line. The end is
    where it was when the file was listed. Raises `CorpusError` for a file that has become shorter since.
    """
    place, num_bytes = file.stored.location, file.stored.num_bytes
    with reading(place), open(place, "rb") as content:
        content.seek(start)
        while start < num_bytes:
            block = content.read(min(size(num_bytes - start), num_bytes - start))
            rest = b"" if block.endswith(b"\n") else content.readline(num_bytes - start - len(block))
            if not block:
                raise _cut_off(file, start)
            span = LineSpan(start, start + len(block) + len(rest), first_line)
            first_line += block.count(b"\n") + rest.count(b"\n")
            yield span, first_line
            start = span.end


def read_span(file: ListedFile, span: LineSpan, bad: OnBad = stop) -> Iterator[Record]:
    """The rows of some lines of a file; see `read_file`."""
    place, name = file.stored.location, file.name
    with reading(place), open(place, "rb") as whole:
        whole.seek(span.start)
        content = whole.read(span.end - span.start)
    if len(content) < span.end - span.start:
        raise _cut_off(file, span.start + len(content))
    lines = io.BytesIO(content)
    for line, values in json_lines(
        file.stored, lines, lines, _with_place(place, bad), ignore_progress, span.first_line
    ):
        yield Record(place, line - 1, values, line, name)


def row_sizes(file: ListedFile, choose: Choose) -> list[GroupSize]:
    """Sizes of the row groups of a file of records that can be read from any row on, local Parquet; nothing for another one.

    `choose`: as for `read_file`; the columns that it takes are counted.
    """
    if is_url(file.stored.location):
        return []
    try:
        with file.stored.open() as content:
            if kind_by_magic(content.read(HEAD_BYTES)) != "parquet":
                return []
        sizes = group_sizes(file.stored, lambda names: [*(chosen := choose(names)).strict, *chosen.lenient])
        file.stored.check_rows(sum(size.num_rows for size in sizes))
    except (CorpusError, OSError):
        return []  # reported when it is read
    return sizes


def _cut_off(file: ListedFile, num_bytes: int) -> CorpusError:
    return CorpusError(
        f"{file.stored.location} has become shorter while it was read ({file.stored.num_bytes:,} bytes, now {num_bytes:,}). "
        "Run again when it is no longer being written to."
    )


def _with_place(place: str, bad: OnBad) -> OnBad:
    """The same; errors of a file are reported like those of a row, by place and reason."""

    def placed(error: CorpusError) -> None:
        bad(error if isinstance(error, BadRowError) else BadRowError.of(place, str(error)))

    return placed


def _table(
    file: ListedFile,
    kind: str,
    stream: Opened,
    choose: Choose,
    bad: OnBad,
    progress: ReadProgress,
    span: RowSpan | None,
) -> Iterator[Record]:
    place = file.stored.location
    if not file.stored.num_bytes:
        raise CorpusError(f"{place}: is empty (0 bytes), unlike any {KIND_NAMES[kind]} file.")
    if stream.compression is not None:
        raise CorpusError(
            f"{place}: is a compressed {KIND_NAMES[kind]} file. Decompress it first: this format needs random access."
        )
    names: list[str] = []

    def choosing(known: Sequence[str]) -> Chosen:
        names[:] = known
        return choose(known)

    for row, values in table_rows(file.stored, kind, stream.content, choosing, bad, progress, span):
        yield Record(place, row, values, None, file.name, names)
