"""Columnar files: only what is asked for is read, and nothing of it is silently another value."""

import datetime
import decimal

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from tests.corpus.corpora import put, put_parquet, read, texts

from phf.corpus.dataset import read_annotated
from phf.corpus.formats import isolated
from phf.errors import CorpusError

FAR = 10**18
"""Microseconds: the year 33658."""
ODD = {
    "timestamp": pa.array([FAR, 1], pa.timestamp("us")),
    "zoned": pa.array([FAR, 1], pa.timestamp("us", "UTC")),
    "duration": pa.array([2**62, 1], pa.duration("s")),
    "date": pa.array([2**31 - 1, 0], pa.date32()),
    "text": pa.array([b"\xff", b"ok"]).view(pa.string()),
    "map": pa.array([[(1, FAR)], []], pa.map_(pa.int32(), pa.timestamp("us"))),
    "struct": pa.array([{"a": {"b": FAR}}, None], pa.struct([("a", pa.struct([("b", pa.timestamp("us"))]))])),
    "list": pa.array([[FAR], []], pa.list_(pa.timestamp("us"))),
}


@pytest.mark.parametrize("kind", ODD)
def test_columns_that_are_not_asked_for_cannot_stop_anything(tmp_path, kind):
    path = put_parquet(tmp_path / "a.parquet", text=["a", "b"], odd=ODD[kind])
    assert texts(path) == ["a", "b"]
    put_parquet(path, texts=[["a"], ["b"]], scores=[[0.5], [None]], odd=ODD[kind])
    assert [document.scores for document in read_annotated(str(path))] == [[0.5], [None]]


@pytest.mark.parametrize("kind", ODD)
def test_what_python_cannot_hold_is_kept_as_text(tmp_path, kind):
    path = put_parquet(tmp_path / "a.parquet", text=["a", "b"], odd=ODD[kind], meta=ODD[kind])
    documents, _, _ = read(path, keep=("odd",))
    assert len(documents) == 2
    assert str(documents[0].meta["odd"])
    assert set(documents[0].meta) > {"odd"}


def test_kept_values_are_what_json_has(tmp_path):
    path = put_parquet(
        tmp_path / "a.parquet",
        text=["a"],
        number=pa.array([float("nan")]),
        attributes=pa.array([[("language", "en"), ("url", None)]], pa.map_(pa.string(), pa.string())),
        codes=pa.array([[(1, 2.5)]], pa.map_(pa.int32(), pa.float64())),
        nested=pa.array([[{"x": float("inf")}]]),
        raw=pa.array([b"\xffz"]),
        when=pa.array([datetime.datetime(2020, 1, 2)]),
        price=pa.array([decimal.Decimal("1.50")]),
    )
    names = ("number", "attributes", "codes", "nested", "raw", "when", "price")
    ((document,), _, _) = read(path, keep=names)
    assert document.meta == {
        "number": None,
        "attributes": {"language": "en", "url": None},
        "codes": {"1": 2.5},
        "nested": [{"x": None}],
        "raw": "\ufffdz",
        "when": "2020-01-02 00:00:00",
        "price": "1.50",
    }


def test_the_column_of_the_text(tmp_path):
    path = tmp_path / "a.parquet"
    assert texts(put_parquet(path, content=["c"], title=["t"])) == ["c"]
    assert texts(put_parquet(path, raw_content=["r"])) == ["r"]
    assert texts(put_parquet(path, text=["t"], content=["c"])) == ["t"]  # as it has always been
    assert texts(path, text_column="content") == ["c"]
    assert texts(put_parquet(path, body=["b"]), text_column="body") == ["b"]
    assert texts(put_parquet(path, parts=[["a", "b"]]), text_column="parts") == ["ab"]
    with pytest.raises(CorpusError, match=r"any of \['content', 'raw_content'\]\. Choose one with --text-column"):
        texts(put_parquet(path, content=["c"], raw_content=["r"]))
    with pytest.raises(CorpusError, match=r"no column 'bdy', which --text-column names; its columns are \['content'"):
        texts(path, text_column="bdy")
    with pytest.raises(CorpusError, match="no column 'lang', which --keep names"):
        texts(path, text_column="content", keep=("lang",))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.large_string(), pa.string_view(), pa.binary(3)])
def test_text_of_any_type_of_text(tmp_path, kind):
    path = put_parquet(tmp_path / "a.parquet", text=pa.array(["abc", "dé"]).cast(pa.binary()).cast(kind))
    assert texts(path) == ["abc", "dé"]


def test_a_row_that_is_not_utf8_is_named_and_alone_is_bad(tmp_path):
    for column in (pa.array([b"a", b"\xff", b"c"]), pa.array([b"a", b"\xff", b"c"]).view(pa.string())):
        path = put_parquet(tmp_path / "a.parquet", text=column)
        with pytest.raises(CorpusError, match=r"a\.parquet, row 1: its 'text' is not UTF-8"):
            texts(path)
        documents, notes, _ = read(path, is_strict=False)
        assert [document.text for document in documents] == ["a", "c"]
        assert notes.skipped.count == 1
    put_parquet(path, texts=[[b"a", b"\xff"]])
    with pytest.raises(CorpusError, match="row 0: its 'texts' is not UTF-8"):
        texts(path)


def test_arrow_feather_and_orc(tmp_path):
    table = pa.table({"text": ["a", "b"], "odd": ODD["timestamp"]})
    feather.write_feather(table, str(tmp_path / "a.feather"))
    with pa.ipc.new_stream(str(tmp_path / "b.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(str(tmp_path / "c.arrow"), table.schema) as writer:
        writer.write_table(table)
    orc.write_table(table.select(["text"]), str(tmp_path / "d.orc"))
    for path in sorted(tmp_path.iterdir()):
        assert texts(path) == ["a", "b"]
        content = path.read_bytes()
        renamed = put(tmp_path / "renamed" / f"{path.stem}.jsonl", content)
        assert texts(renamed) == ["a", "b"]  # by what they are, not by what they are called
        with pytest.raises(CorpusError, match=r"is not a readable (Arrow|ORC) file"):
            texts(put(tmp_path / "cut" / path.name, content[: len(content) * 2 // 3]))
    assert len(texts(tmp_path)) == 8


@pytest.mark.parametrize("text", [["aaaa", "bbbb"], [["aaaa"], ["bbbb"]]])
def test_an_offset_that_leads_out_of_an_arrow_file_is_an_error_not_a_crash(tmp_path, text):
    table = pa.table({"texts" if isinstance(text[0], list) else "text": text})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    content = (tmp_path / "a.arrow").read_bytes()
    for wrong in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0"):
        damaged = content.replace(b"\x04\0\0\0\x08\0\0\0", b"\x04\0\0\0" + wrong)
        assert damaged != content
        with pytest.raises(CorpusError, match=r"b\.arrow: is not a readable Arrow file after row 0"):
            texts(put(tmp_path / "b.arrow", damaged))


def test_damaged_and_empty_files_say_so(tmp_path):
    content = put_parquet(tmp_path / "a.parquet").read_bytes()
    for damaged in (content[:-20], b"junk"):
        with pytest.raises(CorpusError, match=r"b\.parquet: is not a readable Parquet file"):
            texts(put(tmp_path / "b.parquet", damaged))
    for name in ("c.parquet", "c.arrow", "c.orc"):
        with pytest.raises(CorpusError, match=r"is empty \(0 bytes\), unlike any (Parquet|Arrow|ORC) file"):
            texts(put(tmp_path / name, b""))
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(CorpusError, match="several columns called 'text'"):
        texts(tmp_path / "d.parquet")


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_feather_files_of_version_1_are_read_and_damage_to_them_is_an_error_not_a_crash(tmp_path):
    table = pa.table({"text": ["a", "b"], "id": ["1", "2"]})
    feather.write_feather(table, str(tmp_path / "a.feather"), version=1)
    assert texts(tmp_path / "a.feather") == ["a", "b"]
    content = (tmp_path / "a.feather").read_bytes()
    damaged = put(tmp_path / "b.feather", content[:-30] + b"\xff" * 20 + content[-10:])
    with pytest.raises(CorpusError, match=r"b\.feather: is not a readable Arrow file after row 0: ."):
        texts(damaged)


def test_the_process_that_reads_an_orc_file_has_memory_in_proportion_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "FREE_BYTES", 3 * 2**25)
    monkeypatch.setenv("PHF_MAX_RATIO", "1")
    orc.write_table(pa.table({"text": ["a" * 2**25]}), str(tmp_path / "b.orc"), compression="zstd")
    with pytest.raises(
        CorpusError, match=r"b\.orc: is not a readable ORC file after row 0: .*PHF_MAX_RATIO .* than 1$"
    ):
        texts(tmp_path / "b.orc")
