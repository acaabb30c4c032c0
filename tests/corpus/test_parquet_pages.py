"""Pages of Parquet that expand further than the footer says, which pyarrow would decompress."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.corpora import read, texts
from tests.corpus.parquet_footers import I64, metadata, rewrite

from phf.corpus.formats import compression, parquet_footer
from phf.corpus.formats.parquet_footer import UNCOMPRESSED, row_groups
from phf.corpus.formats.parquet_pages import HEADER_BYTES, WANTED, _sizes, check_pages
from phf.corpus.formats.parquet_rows import RowSpan, opened_rows
from phf.corpus.formats.stored import StoredFile
from phf.corpus.formats.thrift import BINARY, STRUCT, read_struct, read_struct_at, struct_bytes
from phf.errors import CorpusError

SIZE = 2**20
TOO_FAR = (
    r"a\.parquet: its column 'text' expands to more than 1,000 times its size\. If that is right, set .*PHF_MAX_RATIO"
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A megabyte in a page of about a hundred bytes, and a footer that says that it has a thousand."""
    monkeypatch.setattr(parquet_footer, "MAX_LINE_BYTES", SIZE // 2)
    monkeypatch.setenv(compression.RATIO_VARIABLE, "1000")
    return tmp_path / "a.parquet"


def write(path, codec, **options):
    table = pa.table({"text": ["a" * SIZE], "other": ["b"]})
    pq.write_table(table, path, compression=codec, use_dictionary=False, write_statistics=False, **options)


def understate(footer):
    metadata(footer)[UNCOMPRESSED] = (I64, 1000)


@pytest.mark.parametrize("codec", ["zstd", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_page_that_expands_further_than_the_footer_says_is_refused(path, codec, version):
    write(path, codec, data_page_version=version)
    with pytest.raises(CorpusError, match=TOO_FAR):
        texts(path)
    rewrite(path, understate)
    assert pq.read_table(path)["text"][0].as_py() == "a" * SIZE
    with pytest.raises(CorpusError, match=TOO_FAR):
        texts(path)
    with pytest.raises(CorpusError, match=TOO_FAR):
        list(opened_rows(StoredFile.local(path)).batches(RowSpan(0, 1), ["text"]))
    assert texts(path, text_column="other") == ["b"]  # only what is read


def test_pages_count_together(path):
    table = pa.table({"text": ["a" * (SIZE // 16)] * 16})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_batch_size=1, data_page_size=1)
    rewrite(path, understate)
    with path.open("rb") as file, pytest.raises(CorpusError, match=r"'text' expands to more than 500 times"):
        check_at_ratio(500, file)
    with path.open("rb") as file:
        check_at_ratio(5000, file)


def check_at_ratio(ratio, file):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compression.RATIO_VARIABLE, str(ratio))
        check_pages(file, row_groups(file), ["text"], "a.parquet")


def test_formats_that_cannot_expand_so_far_are_read_without_looking(path, monkeypatch):
    monkeypatch.setattr(
        "phf.corpus.formats.parquet_pages._header", lambda *arguments: pytest.fail("a page is looked at")
    )
    monkeypatch.setattr(parquet_footer, "MAX_LINE_BYTES", 2 * SIZE)
    for codec in ("none", "snappy", "lz4"):
        write(path, codec)
        assert texts(path) == ["a" * SIZE]


def test_a_long_header_is_read_whole(path):
    """A header with bounds of the values that are longer than what is read of it at first."""
    write(path, "zstd")
    with path.open("rb") as file:
        chunk = row_groups(file)[0].columns[0]
        file.seek(chunk.start)
        content = file.read()
        expected = _sizes(file, chunk)
    header, (_, length) = read_struct(content), read_struct_at(content, WANTED)
    header[5][1][5] = (STRUCT, {1: (BINARY, b"x" * HEADER_BYTES[1])})
    path.write_bytes(struct_bytes(header) + content[length:])
    with path.open("rb") as file:
        whole = chunk._replace(start=0, compressed_bytes=chunk.compressed_bytes + 2 * HEADER_BYTES[1])
        assert _sizes(file, whole) == expected
    assert expected[0] > SIZE


def test_rows_before_a_damaged_page_are_kept(path):
    table = pa.table({"text": [f"{n} " * 50 for n in range(600)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_batch_size=1, data_page_size=1)
    with path.open("rb") as file:
        chunk = row_groups(file)[0].columns[0]
    content = bytearray(path.read_bytes())
    last = content.rindex(b"\x28\xb5\x2f\xfd", 0, chunk.start + chunk.compressed_bytes)
    content[last - 20 : last] = b"\xff" * 20  # the header of the last page
    path.write_bytes(bytes(content))
    documents, notes, _ = read(path, is_strict=False)
    assert (len(documents), notes.skipped.count) == (512, 1)
