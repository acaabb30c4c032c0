"""Parts cut into smaller ones hold the same documents, in the same order, under the same ids."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phf.corpus.dataset import read_annotated
from phf.corpus.sources.division import divided
from phf.corpus.sources.documents import parts
from phf.errors import CorpusError


def write_table(path, first, num_rows, rows_of_group):
    rows = range(first, first + num_rows)
    table = pa.table({"texts": [[f"text {i} " * 20, "\n"] for i in rows], "scores": [[i / 100, None] for i in rows]})
    pq.write_table(table, path, row_group_size=rows_of_group)


@pytest.fixture
def folder(tmp_path):
    """Documents without ids of their own: those of a table of ten row groups, of one, and of small files."""
    write_table(tmp_path / "a.parquet", 0, 50, 5)
    write_table(tmp_path / "b.parquet", 50, 50, 50)
    for number in range(20):
        row = {"texts": [f"small {number}"], "scores": [0.0]}
        (tmp_path / f"c{number:02d}.jsonl").write_text(json.dumps(row) + "\n")
    write_table(tmp_path / "d.parquet", 100, 7, 2)
    return tmp_path


def content(some, source):
    return [(d.id, d.texts, d.scores) for d in read_annotated(str(source), "scores", some)]


def test_files_and_row_groups_are_parts_of_their_own_with_the_same_documents(folder):
    whole = parts(str(folder))
    smaller = [some for part in whole for some in divided(part, 300)]
    assert content(smaller, folder) == content(whole, folder)
    groups = [(part.files[0].name, *part.rows) for part in smaller if part.rows]
    assert groups[:2] == [("a.parquet", 0, 5), ("a.parquet", 5, 10)]
    assert {name for name, *_ in groups} == {"a.parquet", "d.parquet"}
    small_files = [len(part.files) for part in smaller if part.files[0].name.startswith("c")]
    assert sum(small_files) == 20
    assert set(small_files[:-1]) == {8}  # of 40 or 41 bytes
    assert sum(part.num_bytes for part in smaller) == pytest.approx(sum(part.num_bytes for part in whole), rel=0.01)
    assert [some for part in whole for some in divided(part, 10**9)] == [part for part in whole if not part.rows]


def test_a_file_that_was_replaced_by_a_smaller_one_is_reported(folder):
    last = [some for part in parts(str(folder / "a.parquet")) for some in divided(part, 300)][-1]
    write_table(folder / "a.parquet", 0, 5, 5)
    with pytest.raises(CorpusError, match=r"a.parquet.*fewer rows than before.*Run again"):
        content([last], folder)
