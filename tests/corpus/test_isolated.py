"""The process that reads Arrow and ORC files: one for many files, whatever happens to it or to this one."""

import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather
from tests.corpus.corpora import put, read, texts

from phf.corpus.formats import isolated
from phf.corpus.formats.table_layout import dense, validate
from phf.corpus.formats.table_process import BATCH_ROWS
from phf.corpus.sources.documents import read_records
from phf.errors import CorpusError


def put_stream(path, *batches):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(path), pa.table(batches[0]).schema) as writer:
        for columns in batches:
            writer.write_table(pa.table(columns))
    return path


def forker():
    """Id of the process that forks the readers."""
    return isolated._forker._process.pid


def test_files_are_read_by_one_process_after_another_damaged_or_not(tmp_path):
    paths = [put_stream(tmp_path / f"{n}.arrow", {"text": [str(n)]}) for n in range(4)]
    assert texts(paths[0]) == ["0"]
    first = forker()
    paths[2].write_bytes(paths[2].read_bytes()[:-30])
    documents, notes, _ = read(*paths, is_strict=False)
    assert [document.text for document in documents] == ["0", "1", "3"]
    assert notes.skipped.count == 1
    assert forker() == first


def test_files_are_read_at_the_same_time(tmp_path):
    one, other = (put_stream(tmp_path / name, {"text": [name] * 3 * BATCH_ROWS}) for name in ("a.arrow", "b.arrow"))
    pairs = zip(read_records(str(one)), read_records(str(other)), strict=True)
    assert [(a.row, a.values["text"], b.values["text"]) for a, b in pairs] == [
        (row, "a.arrow", "b.arrow") for row in range(3 * BATCH_ROWS)
    ]


def test_a_process_that_was_killed_is_replaced(tmp_path):
    path = put_stream(tmp_path / "a.arrow", {"text": ["a"]})
    assert texts(path) == ["a"]
    killed = forker()
    os.kill(killed, signal.SIGKILL)
    isolated._forker._process.wait()
    assert texts(path) == ["a"]
    assert forker() != killed


def test_a_process_that_is_forked_reads_with_its_own(tmp_path):
    path = put_stream(tmp_path / "a.arrow", {"text": ["a"]})
    assert texts(path) == ["a"]
    before = forker()
    child = os.fork()
    if child == 0:
        is_right = texts(path) == ["a"] and forker() != before
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert texts(path) == ["a"]
    assert forker() == before


def test_a_crash_is_an_error_that_says_so(tmp_path):
    path = put_stream(tmp_path / "a.arrow", *[{"text": ["x" * 2**16] * BATCH_ROWS}] * 20)
    rows = read_records(str(path))
    next(rows)
    (reader,) = readers()
    os.kill(reader, signal.SIGSEGV)
    with pytest.raises(
        CorpusError, match=r"a\.arrow: is not a readable Arrow file after row \d+: the process that read it cr"
    ):
        list(rows)


def test_a_reader_ends_with_what_is_read_of_it(tmp_path):
    path = put_stream(tmp_path / "a.arrow", *[{"text": ["x" * 2**16] * BATCH_ROWS}] * 20)
    rows = read_records(str(path))
    next(rows)
    assert len(readers()) == 1
    rows.close()
    until = time.monotonic() + 20
    while readers() and time.monotonic() < until:
        time.sleep(0.01)
    assert readers() == []


def readers():
    """Ids of the processes that are reading a file."""
    children = Path(f"/proc/{forker()}/task/{forker()}/children")
    if not children.exists():
        pytest.skip("only Linux lists the children of a process")
    return [int(pid) for pid in children.read_text().split()]


def test_a_relative_path_is_of_the_folder_where_it_is_read(tmp_path, monkeypatch):
    put_stream(tmp_path / "one" / "a.arrow", {"text": ["1"]})
    put_stream(tmp_path / "two" / "a.arrow", {"text": ["2"]})
    for folder, text in (("one", "1"), ("two", "2")):
        monkeypatch.chdir(tmp_path / folder)
        assert texts("a.arrow") == [text]


def test_rows_before_the_damage_are_kept(tmp_path):
    path = put_stream(tmp_path / "a.arrow", {"text": ["aaaa", "bbbb"]}, {"text": ["cccc", "dddd"]})
    content = path.read_bytes()
    place = content.rindex(b"\x04\0\0\0\x08\0\0\0")
    put(path, content[:place] + b"\xff\xff\xff\x7f" + content[place + 4 :])
    documents, _, _ = read(path, is_strict=False)
    assert [document.text for document in documents] == ["aaaa", "bbbb"]
    with pytest.raises(CorpusError, match="is not a readable Arrow file after row 2: "):
        texts(path)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_columns_expand_in_proportion_to_the_file(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(isolated, "FREE_BYTES", 2**27)
    monkeypatch.setenv("PHF_MAX_RATIO", "1")
    feather.write_feather(pa.table({"text": ["a" * 2**20]}), str(tmp_path / "a.feather"), compression=compression)
    assert len(texts(tmp_path / "a.feather")[0]) == 2**20
    feather.write_feather(pa.table({"text": ["a" * 2**27]}), str(tmp_path / "b.feather"), compression=compression)
    with pytest.raises(
        CorpusError, match=r"b\.feather: is not a readable Arrow .*PHF_MAX_RATIO to a larger number than 1$"
    ):
        texts(tmp_path / "b.feather")


def test_a_text_that_rows_share_is_held_by_the_reader_for_each_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "FREE_BYTES", 2**27)
    monkeypatch.setenv("PHF_MAX_RATIO", "1")
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * BATCH_ROWS, pa.int8()), pa.array(["a" * 2**20]))
    with pytest.raises(CorpusError, match="PHF_MAX_RATIO"):
        texts(put_stream(tmp_path / "a.arrow", {"text": shared}))


VIEWS = pa.array(["a long text that is not inlined", None, "b"]).cast(pa.string_view())
CODES = pa.array(["a", None, "b"]).dictionary_encode()


@pytest.mark.parametrize(
    "column",
    [
        VIEWS,
        CODES,
        pa.ListArray.from_arrays(pa.array([0, 1, 1, 3]), VIEWS),
        pa.LargeListArray.from_arrays(pa.array([0, 1, 1, 3], pa.int64()), CODES),
        pa.StructArray.from_arrays([VIEWS, CODES], names=["a", "b"]),
        pa.array([b"\xff", b"", None]).view(pa.string()),
        pa.array([b"\xff" * 20, b"", None]).cast(pa.binary_view()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array([[1], [2]])),
        pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int8())),
    ],
    ids=lambda column: str(column.type),
)
def test_dense_rows_are_the_same_rows(column):
    batch = pa.record_batch({"a": column}).slice(1)
    changed = dense(batch)
    assert changed is batch or changed.column("a").to_pylist() == batch.column("a").to_pylist()
    assert "view" not in str(changed.schema.field("a").type)
    validate(changed, ["a"])


def test_a_few_rows_of_views_are_not_all_that_they_view():
    batch = pa.record_batch({"a": pa.array(["x" * 1000] * 1000).cast(pa.string_view())})
    assert dense(batch.slice(500, 2)).get_total_buffer_size() < 5000
