"""Rows of columnar files (Parquet, Arrow and Feather, ORC): only the requested columns are read."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from phf.corpus.formats.isolated import Kind, isolated
from phf.corpus.formats.jsonlines import ReadProgress
from phf.corpus.formats.parquet_footer import check_sizes, row_groups
from phf.corpus.formats.parquet_pages import check_pages
from phf.corpus.formats.parquet_rows import BATCH_ROWS, RowSpan, opened_rows
from phf.corpus.formats.row_policy import BadRowError, Choose, Chosen, OnBad
from phf.corpus.formats.stored import StoredFile, is_url
from phf.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow as pa

KIND_NAMES = {"parquet": "Parquet", "arrow": "Arrow", "orc": "ORC"}


def table_rows(
    file: StoredFile,
    kind: str,
    content: BinaryIO,
    choose: Choose,
    bad: OnBad,
    progress: ReadProgress,
    span: RowSpan | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row from 0, column -> value) of a file of a kind of `KIND_NAMES`; `content` is seekable.

    `span`: of a local Parquet file, the rows that are read; None: all.
    """
    import pyarrow as pa

    readers: dict[str, Callable[..., Batches]] = {
        "parquet": partial(_parquet, span=span),
        "arrow": partial(isolated_batches, "arrow"),
        "orc": partial(isolated_batches, "orc"),
    }
    row = first = 0 if span is None else span.start
    try:
        for batch, chosen, num_rows in readers[kind](choose, file, content):
            if num_rows:
                progress(min((row + batch.num_rows - first) / num_rows, 1.0))
            yield from batch_rows(batch, chosen, file.location, row, bad)
            row += batch.num_rows
    except CorpusError as error:
        bad(error)
    except (pa.ArrowException, OSError, UnicodeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        bad(CorpusError(f"{file.location}: is not a readable {KIND_NAMES[kind]} file after row {row}: {reason}"))


def batch_rows(
    batch: "pa.RecordBatch | pa.Table", chosen: Chosen, place: str, first: int, bad: OnBad
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, column -> value) of a batch whose first row is number `first`."""
    columns = {name: _strict(batch.column(name)) for name in chosen.strict}
    columns |= {name: _lenient(batch.column(name)) for name in chosen.lenient}
    for offset in range(batch.num_rows):
        values = {name: column[offset] for name, column in columns.items()}
        broken = next((name for name in chosen.strict if isinstance(values[name], _Unreadable)), None)
        if broken is None:
            yield first + offset, values
        else:
            bad(BadRowError(f"{place}, row {first + offset}", f"its '{broken}' {values[broken].reason}"))


class _Unreadable:
    """Stands for a value that cannot be read."""

    def __init__(self, error: Exception) -> None:
        is_text = isinstance(error, UnicodeDecodeError)
        self.reason = f"is not UTF-8 ({error})." if is_text else f"cannot be read: {str(error).partition(chr(10))[0]}"


def _strict(column: "pa.Array | pa.ChunkedArray") -> list[Any]:
    """Values of a column of text or scores; binary ones are UTF-8."""
    try:
        values = column.to_pylist()
    except (UnicodeError, ValueError, OverflowError):
        values = [_one(element) for element in column]
    if not _is_binary(column):
        return values
    return [_decoded(value) if isinstance(value, bytes | list) else value for value in values]


def _is_binary(column: "pa.Array | pa.ChunkedArray") -> bool:
    return "binary" in str(column.type)


def _one(element: Any) -> Any:
    try:
        return element.as_py()
    except (UnicodeError, ValueError, OverflowError) as error:
        return _Unreadable(error)


def _decoded(value: Any) -> Any:
    try:
        if isinstance(value, list):  # of binary segments
            return [element.decode("utf-8") if isinstance(element, bytes) else element for element in value]
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return _Unreadable(error)


def _lenient(column: "pa.Array | pa.ChunkedArray") -> list[Any]:
    """Values of any column; maps as dictionaries, and values that Python cannot represent as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # if a map has the same key twice, the last one is kept
        try:
            return column.to_pylist(maps_as_pydicts="lossy")
        except (UnicodeError, ValueError, OverflowError, TypeError):
            return [_spelled(element) for element in column]


def _spelled(element: Any) -> Any:
    """One value, as text if Python cannot represent it: a timestamp of the year 12000, bytes that are not UTF-8."""
    import pyarrow as pa

    try:
        return element.as_py(maps_as_pydicts="lossy")
    except (UnicodeError, ValueError, OverflowError, TypeError):
        pass
    if isinstance(element, pa.StructScalar):
        return {name: _spelled(element[number]) for number, name in enumerate(element.type.names)}
    if isinstance(element, pa.MapScalar):
        return {str(_spelled(pair[0])): _spelled(pair[1]) for pair in element.values}
    if isinstance(element, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        return [_spelled(value) for value in element.values]
    if isinstance(element, pa.StringScalar | pa.LargeStringScalar | pa.StringViewScalar):
        return element.as_buffer().to_pybytes().decode("utf-8", "replace")
    try:
        return element.cast(pa.string()).as_py()
    except (pa.ArrowException, ValueError):
        return str(getattr(element, "value", None))


Batches = Iterator[tuple["pa.RecordBatch", Chosen, int]]
"""Batches, the columns to take of them, and the number of rows in all of them (0: not known)."""


def _parquet(choose: Choose, file: StoredFile, content: BinaryIO, span: RowSpan | None) -> Batches:
    import pyarrow.parquet as pq

    if span is not None:
        rows = opened_rows(file)
        chosen = _chosen(choose, rows.names, file)
        for batch in rows.batches(span, [*chosen.strict, *chosen.lenient]):
            yield batch, chosen, span.stop - span.start
        return
    # Arrow reads a local file by itself, without calling Python for every piece of it
    with pq.ParquetFile(content if is_url(file.location) else file.location) as table:
        groups = row_groups(content)
        check_sizes(groups, file.location)
        file.check_rows(table.metadata.num_rows)
        chosen = _chosen(choose, table.schema_arrow.names, file)
        columns = [*chosen.strict, *chosen.lenient]
        if not is_url(file.location):  # there, each page would be a request
            check_pages(content, groups, columns, file.location)
        for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
            yield batch, chosen, table.metadata.num_rows


def isolated_batches(kind: Kind, choose: Choose, file: StoredFile, content: BinaryIO) -> Batches:
    """Files of which damaged ones may crash the process that reads them."""
    with isolated(kind, file, content) as table:
        chosen = _chosen(choose, table.names, file)
        for batch in table.batches([*chosen.strict, *chosen.lenient]):
            yield batch, chosen, table.num_rows


def _chosen(choose: Choose, names: list[str], file: StoredFile) -> Chosen:
    try:
        chosen = choose(names)
    except CorpusError as error:
        raise CorpusError(f"{file.location}: {error}") from None
    repeated = next((name for name in (*chosen.strict, *chosen.lenient) if names.count(name) > 1), None)
    if repeated is not None:
        raise CorpusError(f"{file.location}: has several columns called '{repeated}'.")
    return chosen
