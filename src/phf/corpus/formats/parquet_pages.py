"""The pages of a Parquet file: whether they expand as far as the footer says, which nothing but their own headers can tell.

pyarrow decompresses a page to the size that is in its header, up to 2 GiB, and does not compare it with the footer.

PageHeader, DataPageHeader, CompressionCodec:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from phf.corpus.formats.compression import max_ratio
from phf.corpus.formats.parquet_footer import ColumnChunk, RowGroup, check_size
from phf.corpus.formats.thrift import INTEGERS, STRUCT, Struct, ThriftError, read_struct_at

UNCOMPRESSED, COMPRESSED = 2, 3
DATA_PAGES = (5, 8)
"""Headers of the two versions of data pages."""
NUM_VALUES = 1
WANTED = {UNCOMPRESSED: None, COMPRESSED: None, **{number: {NUM_VALUES: None} for number in DATA_PAGES}}
HEADER_BYTES = (2**10, 2**14, 2**24)
"""Read at once, if a header is longer than what was read before: it may have bounds of the values. pyarrow refuses more."""
FARTHEST = {0: 1, 1: 64, 2: 1_100, 5: 256, 7: 256}
"""Codec -> a ratio of content to compressed bytes that its format cannot exceed: none, Snappy, gzip, and LZ4 in two versions;
Brotli and zstd have no such limit."""


def check_pages(file: BinaryIO, groups: Iterable[RowGroup], columns: Sequence[str], name: str) -> None:
    """Raises `CorpusError` for a file with a column that expands too far.

    `columns`: those that will be read. Formats that cannot expand as far are not looked at.
    """
    limit = max_ratio()
    for chunk in (chunk for group in groups for chunk in group.columns):
        is_read = any(chunk.path == column or chunk.path.startswith(f"{column}.") for column in columns)
        if is_read and FARTHEST.get(chunk.codec, limit + 1) > limit:
            check_size(chunk.path, *_sizes(file, chunk), name)


def _sizes(file: BinaryIO, chunk: ColumnChunk) -> tuple[int, int]:
    """Bytes before and after compression of the pages that pyarrow reads: until it has all values, or to a damaged one."""
    place, num_values = chunk.start, 0
    num_bytes = compressed_bytes = 0
    while num_values < chunk.num_values and place < chunk.start + chunk.compressed_bytes:
        try:
            header, length = _header(file, place)
            page_bytes, page_compressed_bytes = _size(header, UNCOMPRESSED), _size(header, COMPRESSED)
            num_values += sum(
                _size(header[number][1], NUM_VALUES) for number in DATA_PAGES if header.get(number, (0,))[0] == STRUCT
            )
        except ThriftError:
            break  # reported by pyarrow, after the rows before it
        place += length + page_compressed_bytes
        num_bytes += page_bytes
        compressed_bytes += page_compressed_bytes
    return num_bytes, compressed_bytes


def _header(file: BinaryIO, place: int) -> tuple[Struct, int]:
    """(header of the page at a place, its length)."""
    *tries, most = HEADER_BYTES
    for num_bytes in tries:
        file.seek(place)
        try:
            return read_struct_at(file.read(num_bytes), WANTED)
        except ThriftError:
            pass
    file.seek(place)
    return read_struct_at(file.read(most), WANTED)


def _size(fields: Struct, number: int) -> int:
    kind, size = fields.get(number, (0, None))
    if kind not in INTEGERS or size < 0:
        raise ThriftError("the header of a page has no size")
    return size  # type: ignore[no-any-return]
