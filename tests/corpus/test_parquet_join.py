"""Joined Parquet files hold the rows of their pieces, in order, whatever library reads them."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from phf.corpus.formats.parquet_footer import read_footer
from phf.corpus.formats.thrift import struct_bytes
from phf.corpus.parquet_join import ParquetJoiner


def join_parquet(pieces, output):
    joiner = ParquetJoiner(output)
    for path in pieces:
        joiner.add(path)
    return joiner.finish()


def piece(path, first, num_rows, **options):
    numbers = list(range(first, first + num_rows))
    table = pa.table(
        {
            "id": [str(number) for number in numbers],
            "texts": pa.array([[f"{n}"] * (n % 4) for n in numbers], pa.list_(pa.string())),
            "scores": pa.array([[0.5 if n % 3 else None] * (n % 4) for n in numbers], pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, path, **{"compression": "zstd", "use_dictionary": ["scores.list.element"], **options})
    return table


@pytest.mark.parametrize(
    "options", [{}, {"write_page_index": True}, {"row_group_size": 7}, {"version": "1.0"}], ids=str
)
def test_the_rows_of_all_pieces_in_their_order(options, tmp_path):
    tables = [piece(tmp_path / f"{n}.parquet", n * 100, size, **options) for n, size in enumerate([30, 1, 300, 20])]
    joined = join_parquet([tmp_path / f"{n}.parquet" for n in range(4)], tmp_path / "all")
    whole = pa.concat_tables(tables)
    assert pq.read_table(tmp_path / "all").equals(whole)
    assert hashlib.sha256((tmp_path / "all").read_bytes()).hexdigest() == joined.sha256
    assert (tmp_path / "all").stat().st_size == joined.num_bytes
    with pq.ParquetFile(tmp_path / "all", page_checksum_verification=True) as file:
        assert file.metadata.num_rows == 351
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
        assert pa.concat_tables(groups).equals(whole)
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [len(g) for g in groups]
    # by statistics, of which a group's own must come with it
    rows = pq.read_table(tmp_path / "all", filters=pc.field("id") == "205")
    assert rows.column("id").to_pylist() == ["205"]


def test_one_piece_is_itself_and_joining_twice_gives_the_same_bytes(tmp_path):
    piece(tmp_path / "0.parquet", 0, 50)
    piece(tmp_path / "1.parquet", 50, 50)
    join_parquet([tmp_path / "0.parquet"], tmp_path / "one")
    assert pq.read_table(tmp_path / "one").equals(pq.read_table(tmp_path / "0.parquet"))
    pieces = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    assert join_parquet(pieces, tmp_path / "a") == join_parquet(pieces, tmp_path / "b")


def test_more_pieces_than_a_short_list_holds(tmp_path):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 40)
    tables = [piece(tmp_path / f"{n:02d}", int(sizes[:n].sum()), int(size)) for n, size in enumerate(sizes)]
    join_parquet(sorted(tmp_path.glob("??")), tmp_path / "all")
    assert pq.read_table(tmp_path / "all").equals(pa.concat_tables(tables))


def test_a_footer_is_written_as_it_was_read(tmp_path):
    piece(tmp_path / "0.parquet", 0, 50)
    content = (tmp_path / "0.parquet").read_bytes()
    with (tmp_path / "0.parquet").open("rb") as file:
        footer, start = read_footer(file)
    assert struct_bytes(footer) == content[start:-8]


def test_pieces_of_different_schemas_are_not_joined(tmp_path):
    piece(tmp_path / "0.parquet", 0, 5)
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "1.parquet")
    with pytest.raises(AssertionError, match="one schema"):
        join_parquet([tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "all")
