"""The footer of a Parquet file, read without pyarrow's objects for row groups and columns.

pyarrow opens and decodes any file without harm: what its C++ throws there becomes an exception. But its
`FileMetaData.row_group` and `RowGroupMetaData.column` do not catch it: a footer in which the lengths of two lists do not agree,
or with a column that is encrypted, ends the process (pyarrow 26; their declarations in `libparquet.pxd` lack `except +`).

The numbers of fields are those of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from phf.corpus.formats.compression import MAX_LINE_BYTES, RATIO_VARIABLE, max_ratio
from phf.corpus.formats.thrift import BINARY, INTEGERS, LIST, STRUCT, Struct, ThriftError, Wanted, read_struct
from phf.errors import CorpusError
from phf.text import visible

MAGIC = b"PAR1"
# FileMetaData
SCHEMA, NUM_ROWS, ROW_GROUPS = 2, 3, 4
# SchemaElement; that of a group of columns has no type
TYPE = 1
# RowGroup, ColumnChunk and ColumnMetaData
COLUMNS, GROUP_ROWS = 1, 3
CHUNK_METADATA = 3
PATH, CODEC, NUM_VALUES, UNCOMPRESSED, COMPRESSED, DATA_PAGE, DICTIONARY_PAGE = 3, 4, 5, 6, 7, 9, 11
CHUNK = (PATH, CODEC, NUM_VALUES, UNCOMPRESSED, COMPRESSED, DATA_PAGE, DICTIONARY_PAGE)

SIZES = {
    SCHEMA: {TYPE: None},
    ROW_GROUPS: {
        GROUP_ROWS: None,
        COLUMNS: {CHUNK_METADATA: dict.fromkeys(CHUNK)},
    },
}
"""What `row_groups` needs of a footer."""
MAX_FOOTER_BYTES = 2**26
"""Reading one takes about half a second per megabyte; that of 20,000 column chunks has 0.8 MB."""


class ColumnChunk(NamedTuple):
    """A column in a row group."""

    path: str
    """Of the value that is stored, such as "texts.list.element"."""
    num_bytes: int
    """Before compression."""
    compressed_bytes: int
    num_values: int
    codec: int
    start: int
    """Place of its first page in the file."""


class RowGroup(NamedTuple):
    """A row group according to the footer."""

    num_rows: int
    columns: list[ColumnChunk]


def read_footer(file: BinaryIO, wanted: Wanted | None = None) -> tuple[Struct, int]:
    """(the footer of a Parquet file, or what is `wanted` of it; the place where it begins). Raises `ThriftError`."""
    end = file.seek(0, 2) - 8
    if end < len(MAGIC):
        raise ThriftError("the file is too short")
    file.seek(end)
    length, magic = struct.unpack("<I4s", file.read(8))
    if magic != MAGIC or length > end - len(MAGIC):
        raise ThriftError("the file does not end with a footer")
    if length > MAX_FOOTER_BYTES:
        raise ThriftError(f"its footer has {length:,} bytes, more than {MAX_FOOTER_BYTES:,}")
    file.seek(end - length)
    try:
        return read_struct(file.read(length), wanted), end - length
    except ThriftError as error:
        raise ThriftError(f"its footer is damaged: {error}") from None


def row_groups(file: BinaryIO) -> list[RowGroup]:
    """The row groups of a Parquet file. Raises `ThriftError`."""
    footer, _ = read_footer(file, SIZES)
    num_columns = sum(TYPE in element for element in _structs(footer, SCHEMA))
    groups = []
    for group in _structs(footer, ROW_GROUPS):
        columns = [_column_chunk(chunk) for chunk in _structs(group, COLUMNS)]
        if len(columns) != num_columns:  # one would be read as another
            raise ThriftError(f"its footer is damaged: a row group has {len(columns):,} of {num_columns:,} columns")
        groups.append(RowGroup(_count(group, GROUP_ROWS), columns))
    return groups


def check_sizes(groups: Sequence[RowGroup], name: str) -> None:
    """Raises `CorpusError` for a Parquet file with a column that expands too far; its pages are held in memory."""
    for group in groups:
        for chunk in group.columns:
            check_size(chunk.path, chunk.num_bytes, chunk.compressed_bytes, name)


def check_size(path: str, num_bytes: int, compressed_bytes: int, name: str) -> None:
    """Raises `CorpusError` for a column of a file that expands too far."""
    if num_bytes > MAX_LINE_BYTES and num_bytes > (limit := max_ratio()) * max(compressed_bytes, 1):
        raise CorpusError(
            f"{name}: its column '{visible(path)}' expands to more than {limit:,} times its size. If that is right, "
            f"set the environment variable {RATIO_VARIABLE} to a larger number."
        )


def _column_chunk(chunk: Struct) -> ColumnChunk:
    metadata = _field(chunk, CHUNK_METADATA, (STRUCT,))
    kind, path = _field(metadata, PATH, (LIST,))
    if path and kind != BINARY:
        raise ThriftError("its footer is damaged: the path of a column is not text")
    written = b".".join(path).decode("utf-8", "replace")
    start, dictionary = _count(metadata, DATA_PAGE), DICTIONARY_PAGE in metadata and _count(metadata, DICTIONARY_PAGE)
    return ColumnChunk(
        path=written,
        num_bytes=_count(metadata, UNCOMPRESSED),
        compressed_bytes=_count(metadata, COMPRESSED),
        num_values=_count(metadata, NUM_VALUES),
        codec=_count(metadata, CODEC),
        start=dictionary if 0 < dictionary < start else start,  # some files say 0 where there is none
    )


def _structs(fields: Struct, number: int) -> list[Struct]:
    kind, elements = _field(fields, number, (LIST,))
    if elements and kind != STRUCT:
        raise ThriftError("its footer is damaged: a list does not hold structures")
    return elements  # type: ignore[no-any-return]


def _count(fields: Struct, number: int) -> int:
    count: int = _field(fields, number, INTEGERS)
    if count < 0:
        raise ThriftError(f"its footer is damaged: a number of rows or bytes is {count:,}")
    return count


def _field(fields: Struct, number: int, kinds: Sequence[int]) -> Any:
    kind, value = fields.get(number, (0, None))
    if kind not in kinds:
        raise ThriftError(f"its footer is damaged or encrypted: field {number} of a structure is missing")
    return value
