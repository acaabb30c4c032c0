"""Compressed files: recognised by their first bytes, never read only in part."""

import bz2
import gzip
import lzma
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.corpora import put, read, texts

from phf.corpus.formats import compression, parquet_footer
from phf.errors import ConfigError, CorpusError

CONTENT = b"".join(b'{"text": "%d"}\n' % number for number in range(500))


def compressed(suffix, content=CONTENT):
    if suffix == "zst":
        zstandard = pytest.importorskip("zstandard")
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix](content)


SUFFIXES = pytest.mark.parametrize("suffix", ["gz", "zst", "xz", "bz2"])


@SUFFIXES
@pytest.mark.parametrize("name", ["a.jsonl.{}", "a.JSONL.{}", "a.{}", "a.jsonl", "part-0"])
def test_any_name(tmp_path, suffix, name):
    assert len(texts(put(tmp_path / name.format(suffix), compressed(suffix)))) == 500


@SUFFIXES
def test_several_streams_in_one_file(tmp_path, suffix):
    assert len(texts(put(tmp_path / f"a.jsonl.{suffix}", compressed(suffix) * 2))) == 1000


@SUFFIXES
def test_a_stream_with_a_damaged_header_is_not_the_end_of_the_file(tmp_path, suffix):
    with pytest.raises(CorpusError, match="damaged or cut off"):
        texts(put(tmp_path / f"a.jsonl.{suffix}", compressed(suffix) + b"?" + compressed(suffix)[1:]))


@pytest.mark.parametrize("suffix", ["gz", "xz", "bz2"])
def test_zeros_behind_a_stream_are_padding(tmp_path, suffix):
    stream = compressed(suffix) + bytes(2**15)
    assert len(texts(put(tmp_path / f"a.jsonl.{suffix}", stream + compressed(suffix)))) == 1000


@SUFFIXES
@pytest.mark.parametrize("left", [3, 12, 0.5, -1])
def test_cut_off_anywhere(tmp_path, suffix, left):
    content = compressed(suffix)
    cut = content[: int(len(content) * left) if isinstance(left, float) else left]
    path = put(tmp_path / f"a.jsonl.{suffix}", cut)
    with pytest.raises(CorpusError, match="damaged or cut off"):
        texts(path)
    _, notes, _ = read(path, is_strict=False)
    assert notes.skipped.count == 1
    assert "damaged or cut off" in notes.skipped.names[0]["reason"]


@SUFFIXES
def test_an_empty_file_is_not_an_empty_corpus_but_one_that_holds_nothing_is(tmp_path, suffix):
    with pytest.raises(CorpusError, match=r"is empty \(0 bytes\), which a compressed file cannot be"):
        texts(put(tmp_path / f"a.jsonl.{suffix}", b""))
    assert texts(put(tmp_path / f"a.jsonl.{suffix}", compressed(suffix, b""))) == []


@SUFFIXES
def test_a_plain_file_named_as_if_it_were_compressed(tmp_path, suffix):
    assert len(texts(put(tmp_path / f"a.jsonl.{suffix}", CONTENT))) == 500


@pytest.mark.parametrize("log", [28, 31])
def test_zstd_with_a_window_of_up_to_2_gib(tmp_path, log):
    # a frame by hand: magic, no flags, window of 2**log, one raw last block
    block = CONTENT[: 2**14]
    header = (len(block) << 3 | 1).to_bytes(3, "little")
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, (log - 10) << 3]) + header + block
    pytest.importorskip("zstandard")
    assert len(texts(put(tmp_path / "a.jsonl.zst", frame))) == 500


def test_a_zstd_file_that_begins_with_a_skippable_frame(tmp_path):
    note = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    assert len(texts(put(tmp_path / "a.jsonl", note + compressed("zst")))) == 500


def packed(kind, content):
    """Content compressed as well as it goes."""
    import zstandard

    return {
        "gz": lambda: gzip.compress(content),
        "bz2": lambda: bz2.compress(content),
        "xz": lambda: lzma.compress(content),
        "zst": lambda: zstandard.ZstdCompressor(level=19).compress(content),
    }[kind]()


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_a_line_of_hundreds_of_megabytes_is_refused_without_holding_it(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "MAX_LINE_BYTES", 2**20)
    (tmp_path / f"a.jsonl.{kind}").write_bytes(packed(kind, b'{"text": "a"}\n' + b" " * 2**24))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        CorpusError, match=rf"a\.jsonl\.{kind}: has a line of more than 1,048,576 bytes.*decompress the file"
    ):
        texts(str(tmp_path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("kind", ["bz2", "xz", "zst"])
def test_content_of_thousands_of_times_the_size_of_a_file_is_refused_unless_the_limit_is_raised(
    kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(compression, "FREE_BYTES", 2**18)
    monkeypatch.setattr(compression, "MAX_RATIO", 1000)
    line = b'{"text": "the same again"}\n'
    (tmp_path / f"a.jsonl.{kind}").write_bytes(packed(kind, line * 2**14))
    with pytest.raises(CorpusError, match=r"expands to more than 1,000 times its size.*PHF_MAX_RATIO"):
        texts(str(tmp_path))
    monkeypatch.setenv("PHF_MAX_RATIO", "1000000")
    assert len(texts(str(tmp_path))) == 2**14
    monkeypatch.setenv("PHF_MAX_RATIO", "much")
    with pytest.raises(ConfigError, match="PHF_MAX_RATIO is 'much'"):
        texts(str(tmp_path))


def test_a_large_window_is_filled_only_for_a_file_that_needs_it(tmp_path, monkeypatch):
    zstandard = pytest.importorskip("zstandard")
    monkeypatch.setattr(compression, "LARGE_WINDOW", 2**18)
    lines = [b'{"text": "%d"}\n' % number for number in range(2**15)]
    small, large = (zstandard.ZstdCompressor(compression_params=_parameters(zstandard, log)) for log in (17, 20))
    repeated = b'{"text": "the same again"}\n' * 2**14
    for name, compressor, content in (("a", small, repeated), ("b", large, b"".join(lines))):
        (tmp_path / f"{name}.jsonl.zst").write_bytes(in_pieces(compressor, content))
    assert len(texts(str(tmp_path))) == 2**14 + 2**15
    hostile = tmp_path / "c.jsonl.zst"
    hostile.write_bytes(in_pieces(large, repeated))
    with pytest.raises(CorpusError, match=r"c\.jsonl\.zst: expands to more than 100 times its size.*PHF_MAX_RATIO"):
        texts(hostile)
    monkeypatch.setenv("PHF_MAX_RATIO", "10000")
    assert len(texts(hostile)) == 2**14


def _parameters(zstandard, window_log):
    return zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True)


def in_pieces(compressor, content):
    """Compressed without the size of the content, as by a pipe: the window is that of the parameters."""
    stream = compressor.compressobj()
    return stream.compress(content) + stream.flush()


def test_an_xz_file_that_needs_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "MAX_XZ_MEMORY", 2**20)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**22}]
    put(tmp_path / "a.jsonl.xz", lzma.compress(CONTENT, filters=filters))
    with pytest.raises(CorpusError, match=r"a\.jsonl\.xz.*Memory usage limit exceeded"):
        texts(str(tmp_path))


def test_a_corpus_that_repeats_itself_is_read(tmp_path):
    (tmp_path / "a.jsonl.zst").write_bytes(packed("zst", b'{"text": "the same again"}\n' * 2**14))
    assert len(texts(str(tmp_path))) == 2**14


def test_a_parquet_column_that_expands_too_far_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_footer, "MAX_LINE_BYTES", 2**20)
    monkeypatch.setattr(compression, "MAX_RATIO", 1000)
    pq.write_table(pa.table({"text": ["a" * 2**24]}), tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(CorpusError, match=r"a\.parquet: its column 'text' expands to more than 1,000 times"):
        texts(str(tmp_path))
