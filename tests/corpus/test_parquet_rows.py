"""Rows of a Parquet file that several processes read: where spans end, and that any of them can be read after any other."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phf.corpus.formats import parquet_rows
from phf.corpus.formats.parquet_rows import GroupSize, ParquetRows, RowSpan, cut_rows, group_sizes
from phf.corpus.formats.stored import StoredFile
from phf.errors import CorpusError

SIZES = [GroupSize(10, 100), GroupSize(0, 0), GroupSize(5, 200), GroupSize(4, 0)]
"""Rows of 10 bytes, none, of 40 bytes, and of none."""


def spans(start, size, most_rows=100, sizes=SIZES):
    return [tuple(span) for span, _ in cut_rows(sizes, start, lambda left: size, most_rows)]


def test_spans_have_at_least_a_size_and_end_with_a_row():
    assert spans(0, 25) == [(0, 3), (3, 6), (6, 9), (9, 11), (11, 12), (12, 13), (13, 14), (14, 15), (15, 19)]
    assert spans(0, 100) == [(0, 10), (10, 13), (13, 19)]
    assert spans(0, 140) == [(0, 11), (11, 15), (15, 19)]
    assert spans(0, 10**9) == [(0, 19)]
    assert spans(0, 10**9, most_rows=8) == [(0, 8), (8, 16), (16, 19)]
    assert spans(19, 25) == spans(0, 25, sizes=[]) == []


def test_spans_depend_on_nothing_but_their_start():
    rng = random.Random(0)
    for _ in range(200):
        sizes = [GroupSize(rng.randrange(30), rng.randrange(1000)) for _ in range(rng.randrange(1, 6))]
        size = rng.randrange(1, 500)
        whole = list(cut_rows(sizes, 0, lambda left, size=size: min(size, left), 12))
        num_rows = sum(group.num_rows for group in sizes)
        assert [row for span, _ in whole for row in range(*span)] == list(range(num_rows))
        assert sum(share for _, share in whole) == pytest.approx(1 if num_rows else 0)
        for number, (span, _) in enumerate(whole):
            assert list(cut_rows(sizes, span.start, lambda left, size=size: min(size, left), 12)) == whole[number:]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Seven groups of at most 30 rows, in batches of 8."""
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 8)
    table = pa.table({"text": [f"text {i}" for i in range(200)], "large": ["x" * 1000 + str(i) for i in range(200)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=30, use_dictionary=False)
    return StoredFile.local(tmp_path / "a.parquet")


def read(rows, start, stop, columns=("text",)):
    return [value for b in rows.batches(RowSpan(start, stop), list(columns)) for value in b.column(0).to_pylist()]


def test_any_span_can_be_read_after_any_other(file):
    rng, rows = random.Random(0), ParquetRows(file)
    for _ in range(200):
        start, stop = sorted(rng.sample(range(201), 2))
        column = rng.choice(["text", "text", "text", "large"])
        prefix = {"text": "text ", "large": "x" * 1000}[column]
        assert read(rows, start, stop, [column]) == [f"{prefix}{i}" for i in range(start, stop)]


def test_what_follows_is_decoded_once_and_groups_that_are_passed_over_are_not(file, monkeypatch):
    rows, begun = ParquetRows(file), []
    iter_batches = rows._table.iter_batches

    class Table:
        def iter_batches(self, batch_rows, groups, **how):
            begun.extend(groups)
            return iter_batches(batch_rows, groups, **how)

    monkeypatch.setattr(rows, "_table", Table())
    for start in range(0, 30, 5):
        read(rows, start, start + 5)
    assert begun == [0]
    read(rows, 185, 190)  # in the seventh group
    assert begun == [0, 6]
    read(rows, 192, 200)
    read(rows, 185, 190)
    assert begun == [0, 6, 6]


def test_only_the_chosen_columns_count(file):
    text, whole = group_sizes(file, lambda names: ["text"]), group_sizes(file)
    assert [size.num_rows for size in text] == [30] * 6 + [20]
    assert all(
        100 < small.num_bytes < 1000 < 20_000 < large.num_bytes for small, large in zip(text, whole, strict=True)
    )
    assert group_sizes(StoredFile(__file__, 1, "")) == []


def test_a_file_that_is_shorter_now_or_broken_is_reported_each_time(file):
    rows = ParquetRows(file)
    with pytest.raises(CorpusError, match="fewer rows than before"):
        read(rows, 195, 201)
    place = pq.read_metadata(file.location).row_group(1).column(0).data_page_offset
    with open(file.location, "r+b") as content:
        content.seek(place)
        content.write(b"\xff" * 60)
    rows = ParquetRows(file)
    for _ in range(2):
        assert read(rows, 0, 30) == [f"text {i}" for i in range(30)]
        with pytest.raises((OSError, pa.ArrowException)):
            read(rows, 30, 35)
        assert read(rows, 60, 62) == ["text 60", "text 61"]
