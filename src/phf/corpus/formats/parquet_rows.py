"""Some rows of a local Parquet file, for processes that divide it among themselves.

The footer says in which row group a row is; within the group it is found by decoding the ones before it. So a process keeps the
file that it read last open, to read on from there: what it passes over in a group is decoded once, and a group in which it
reads nothing is not.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from phf.corpus.formats.parquet_footer import check_sizes, row_groups
from phf.corpus.formats.parquet_pages import check_pages
from phf.corpus.formats.stored import StoredFile
from phf.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 256
BUFFER_BYTES = 2**20
"""Read at once of a column; otherwise all of a row group is, which may be gigabytes."""


class RowSpan(NamedTuple):
    """Consecutive rows of a Parquet file."""

    start: int
    """From 0."""
    stop: int


class GroupSize(NamedTuple):
    """What is in a row group."""

    num_rows: int
    num_bytes: int
    """Before compression."""


def group_sizes(file: StoredFile, choose: Callable[[list[str]], Sequence[str]] | None = None) -> list[GroupSize]:
    """The size of each row group of a local Parquet file; nothing if it is not readable as one.

    `choose`: names of columns -> those that are counted; None: all are. What it raises is raised.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.location) as table, open(file.location, "rb") as content:
            num_rows, names, groups = table.metadata.num_rows, table.schema_arrow.names, row_groups(content)
    except (pa.ArrowException, OSError, ValueError):
        return []  # reported when it is read
    if num_rows != sum(group.num_rows for group in groups):
        return []
    columns = set(names if choose is None else choose(names))
    return [
        GroupSize(group.num_rows, sum(c.num_bytes for c in group.columns if c.path.partition(".")[0] in columns))
        for group in groups
    ]


def cut_rows(
    sizes: Sequence[GroupSize], start: int, size: Callable[[int], int], most_rows: int
) -> Iterator[tuple[RowSpan, float]]:
    """The rows of a file from one on, cut into spans; with each, its share of the file.

    Rows of a group count as equally large. `size`: bytes that are left of the file -> bytes that the next span has at least.
    Where a span ends depends on nothing but where it begins.
    """
    sizes = [size for size in sizes if size.num_rows]
    rows_before = [0, *accumulate(group.num_rows for group in sizes)]
    bytes_before = [0, *accumulate(max(group.num_bytes, 1) for group in sizes)]
    num_rows, num_bytes = rows_before[-1], bytes_before[-1]

    def bytes_to(row: int) -> float:
        group = bisect_right(rows_before, row) - 1
        if group == len(sizes):
            return num_bytes
        of_group = bytes_before[group + 1] - bytes_before[group]
        return bytes_before[group] + of_group * (row - rows_before[group]) / sizes[group].num_rows

    def row_at(byte: float) -> int:
        group = min(bisect_left(bytes_before, byte), len(sizes)) - 1
        share = (byte - bytes_before[group]) / (bytes_before[group + 1] - bytes_before[group])
        return rows_before[group] + -int(-share * sizes[group].num_rows // 1)

    while start < num_rows:
        done = bytes_to(start)
        stop = row_at(done + size(round(num_bytes - done)))
        stop = min(max(stop, start + 1), start + most_rows, num_rows)
        yield RowSpan(start, stop), (bytes_to(stop) - done) / num_bytes
        start = stop


class ParquetRows:
    """An open file, and the place in it that was read last."""

    def __init__(self, file: StoredFile) -> None:
        import pyarrow.parquet as pq

        file.check_content()
        self._file = file
        self._table = pq.ParquetFile(file.location, pre_buffer=False, buffer_size=BUFFER_BYTES)
        self.names: list[str] = self._table.schema_arrow.names
        with open(file.location, "rb") as content:
            self._groups = row_groups(content)
        check_sizes(self._groups, file.location)
        self._rows_before = [0, *accumulate(group.num_rows for group in self._groups)]
        self._columns: list[str] = []
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        """What follows in the group."""
        self._batch: pa.RecordBatch | None = None
        self._first_row = 0
        """Of the batch."""

    def batches(self, span: RowSpan, columns: list[str]) -> Iterator["pa.RecordBatch"]:
        """The rows of a span. Raises `CorpusError` if the file has become shorter."""
        if span.stop > self._rows_before[-1]:
            raise CorpusError(f"{self._file.location}: has fewer rows than before: it was replaced. Run again.")
        if columns != self._columns:
            self._columns, self._group = columns, -1
        row = span.start
        while row < span.stop:
            batch = self._batch_with(row)
            batch = batch.slice(row - self._first_row, span.stop - row)
            row += batch.num_rows
            yield batch

    def _batch_with(self, row: int) -> "pa.RecordBatch":
        group = bisect_right(self._rows_before, row) - 1
        if group != self._group or row < self._first_row:
            with open(self._file.location, "rb") as content:
                check_pages(content, [self._groups[group]], self._columns, self._file.location)
            self._group, self._first_row = group, self._rows_before[group]
            self._batches = self._table.iter_batches(BATCH_ROWS, [group], columns=self._columns, use_threads=False)
            self._batch = self._next_batch()
        assert self._batch is not None
        while row >= self._first_row + self._batch.num_rows:
            self._first_row += self._batch.num_rows
            self._batch = self._next_batch()
        return self._batch

    def _next_batch(self) -> "pa.RecordBatch":
        group, self._group = self._group, -1  # after an error the group is begun again
        batch = next(self._batches, None)
        if batch is None:
            raise CorpusError(f"{self._file.location}: has fewer rows than its footer says.")
        self._group = group
        return batch


opened_rows = lru_cache(1)(ParquetRows)
"""Of a file that is asked for again and again, the same `ParquetRows`."""
