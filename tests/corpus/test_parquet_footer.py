"""The footer of a Parquet file, whoever wrote it: where pyarrow's own objects would abort the process, there is an error."""

import io
import random
import struct
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.corpora import read, texts
from tests.corpus.parquet_footers import I64, first_chunk, first_group, metadata, rewrite

from phf.corpus.formats import parquet_footer
from phf.corpus.formats.parquet_footer import (
    CHUNK_METADATA,
    COLUMNS,
    GROUP_ROWS,
    MAGIC,
    PATH,
    ROW_GROUPS,
    UNCOMPRESSED,
    ColumnChunk,
    RowGroup,
    read_footer,
    row_groups,
)
from phf.corpus.formats.parquet_rows import group_sizes
from phf.corpus.formats.stored import StoredFile
from phf.corpus.formats.thrift import LIST, MAX_DEPTH, STRUCT, ThriftError, read_struct
from phf.errors import CorpusError

CRYPTO, SIZE_STATISTICS, REPETITION_HISTOGRAM = 8, 16, 2


@pytest.fixture
def path(tmp_path):
    """Two groups of 30 and 20 rows, of which one column is a list."""
    table = pa.table({"text": [f"x = {i}" for i in range(50)], "tags": [["a", "b"][: i % 3] for i in range(50)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=30)
    return tmp_path / "a.parquet"


def longer_histogram(footer):
    metadata(footer)[SIZE_STATISTICS][1][REPETITION_HISTOGRAM] = (LIST, (I64, [1, 2]))


def encrypted_column(footer):
    first_chunk(footer)[CRYPTO] = (STRUCT, {1: (STRUCT, {})})
    del first_chunk(footer)[CHUNK_METADATA]


def no_description(footer):
    del first_chunk(footer)[CHUNK_METADATA]


def fewer_columns(footer):
    first_group(footer)[COLUMNS][1][1].pop()


def more_columns(footer):
    columns = first_group(footer)[COLUMNS][1][1]
    columns.append(columns[0])


def negative_size(footer):
    metadata(footer)[UNCOMPRESSED] = (I64, -1)


def negative_rows(footer):
    first_group(footer)[GROUP_ROWS] = (I64, -30)


def path_of_numbers(footer):
    metadata(footer)[PATH] = (LIST, (I64, [1, 2]))


def groups_of_numbers(footer):
    footer[ROW_GROUPS] = (LIST, (I64, [1, 2]))


KINDS = (
    longer_histogram,
    encrypted_column,
    no_description,
    fewer_columns,
    more_columns,
    negative_size,
    negative_rows,
    path_of_numbers,
    groups_of_numbers,
)


def test_row_groups_are_those_that_pyarrow_reads(path):
    with path.open("rb") as file:
        groups = row_groups(file)
    whole = pq.read_metadata(path)
    expected = []
    for group in map(whole.row_group, range(whole.num_row_groups)):
        chunks = [
            ColumnChunk(
                path=column.path_in_schema,
                num_bytes=column.total_uncompressed_size,
                compressed_bytes=column.total_compressed_size,
                num_values=column.num_values,
                codec=["UNCOMPRESSED", "SNAPPY"].index(column.compression),
                start=min(column.dictionary_page_offset, column.data_page_offset),
            )
            for column in map(group.column, range(group.num_columns))
        ]
        expected.append(RowGroup(group.num_rows, chunks))
    assert [group.num_rows for group in groups] == [30, 20]
    assert [column.path for column in groups[0].columns] == ["text", "tags.list.element"]
    assert groups == expected


@pytest.mark.parametrize("change", KINDS)
def test_a_hostile_footer_is_read_or_an_error_but_ends_no_process(change, path):
    rewrite(path, change)
    stored = StoredFile.local(path)
    with pytest.raises(CorpusError, match=r"a\.parquet: is not a readable Parquet file after row 0: \w"):
        texts(path)
    documents, notes, _ = read(path, is_strict=False)
    assert (documents, notes.skipped.count) == ([], 1)
    sizes = group_sizes(stored)
    assert sizes == [] or sum(size.num_rows for size in sizes) == 50


def test_whatever_the_bytes_are_a_structure_or_an_error_comes_of_them(path):
    with path.open("rb") as file:
        footer, start = read_footer(file)
    content = path.read_bytes()[start:-8]
    assert read_struct(content) == footer
    assert read_struct(content, {GROUP_ROWS: None}) == {GROUP_ROWS: footer[GROUP_ROWS]}
    assert read_struct(content, {}) == {}
    rng = random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(damaged)) :][:1] = b""
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            read_struct(bytes(damaged))
        except ThriftError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "ends in the middle"),
        (b"\x18\x05abc", "ends in the middle"),
        (b"\x19\xf8\xff\xff\xff\xff\x0f\0", "longer than what follows"),
        (b"\x16" + b"\xff" * 11, "more than 64 bits"),
        (b"\x1c" * (MAX_DEPTH + 2) + b"\0" * 99, "nested more than"),
        (b"\x19\x19" * 99 + b"\0" * 99, "nested more than"),
        (b"\x1e\0", "no type 14"),
    ],
)
def test_reasons(content, reason):
    with pytest.raises(ThriftError, match=reason):
        read_struct(content)


def test_what_is_not_wanted_takes_no_memory():
    lists = b"\x19\xfc" + b"\xff\x1f" + b"\0" * (2**12 - 1) + b"\0"  # of 4,095 empty structures
    tracemalloc.start()
    assert read_struct(lists, {2: None}) == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**16


def test_what_has_no_footer_says_so(monkeypatch, path):
    for content in (b"", b"PAR1PAR1", b"PAR1" + b"\0" * 20, b"PAR1" + struct.pack("<I", 99) + MAGIC):
        with pytest.raises(ThriftError, match=r"too short|does not end with a footer"):
            read_footer(io.BytesIO(content))
    monkeypatch.setattr(parquet_footer, "MAX_FOOTER_BYTES", 100)
    with pytest.raises(CorpusError, match=r"its footer has \d+ bytes, more than 100"):
        texts(path)
