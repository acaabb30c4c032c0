"""Sources at URLs, read through fsspec."""

import gzip
import io

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.corpora import ids, left_out, put, read, texts

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.corpus.formats.stored import StoredFile
from phf.corpus.sources.documents import fingerprint
from phf.errors import CorpusError, MissingExtraError


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["p", "q"], "odd": pa.array([10**18, 1], pa.timestamp("us"))}), table)
    files = {
        "/records/a.jsonl": b'{"text": "a"}\n',
        "/records/b.jsonl.gz": gzip.compress(b'{"text": "b"}\n'),
        "/records/c.parquet": table.getvalue(),
        "/records/more/d.jsonl": b'{"text": "d"}\n',
        "/records/.hidden.jsonl": b"x",
        "/text/x.py": b"x = 1\n",
        "/text/sub/y.py": b"y = 1\n",
        "/text/z.bin": b"\0",
        "/hive/lang=en/a.jsonl": b'{"text": "en"}\n',
        "/hive/lang=de/a.jsonl": b'{"text": "de"}\n',
        "/empty/a.jsonl.gz": b"",
    }
    for name, content in files.items():
        with store.open(name, "wb") as file:
            file.write(content)
    yield store
    for folder in ("/records", "/text", "/hive", "/empty"):
        store.rm(folder, recursive=True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("records", ["a.jsonl:0", "b.jsonl.gz:0", "c.parquet:0", "c.parquet:1"]),
        ("records/", ["a.jsonl:0", "b.jsonl.gz:0", "c.parquet:0", "c.parquet:1"]),
        ("records/*.jsonl", ["a.jsonl:0"]),
        ("records/**/*.jsonl", ["a.jsonl:0", "more/d.jsonl:0"]),
        ("records/b.jsonl.gz", ["b.jsonl.gz:0"]),
        ("records/c.parquet", ["c.parquet:0", "c.parquet:1"]),
        ("text", ["sub/y.py", "x.py"]),
        ("hive", ["lang=de/a.jsonl:0", "lang=en/a.jsonl:0"]),
        ("hive/*/*.jsonl", ["lang=de/a.jsonl:0", "lang=en/a.jsonl:0"]),
    ],
)
def test_files_folders_and_globs(memory, source, expected):
    assert ids(f"memory://{source}") == expected


def test_what_is_not_read_is_reported_there_too(memory):
    assert left_out("memory://records") == {
        "hidden": [".hidden.jsonl"],
        "in subfolders (to read them too: 'memory://records/**/*')": ["more/d.jsonl"],
    }
    assert left_out("memory://text") == {"binary": ["z.bin"]}
    with pytest.raises(CorpusError, match=r"memory:///empty/a\.jsonl\.gz: is empty"):
        read("memory://empty")
    for nothing in ("memory://none", "memory://none/*.jsonl"):
        with pytest.raises(CorpusError, match="there is no such file or folder"):
            read(nothing)


def test_with_other_sources_names_keep_apart(memory, tmp_path):
    put(tmp_path / "a.jsonl")
    names = ids("memory://hive", "memory://records", tmp_path)
    assert len(set(names)) == len(names) == 7


def test_a_job_and_its_fingerprint(memory, tmp_path):
    manifest = annotate(["memory://records"], {"class_name": "PEP8Scorer"}, None, tmp_path / "out", workers=2)
    assert manifest.num_documents == 4
    assert len(list(read_annotated(str(tmp_path / "out")))) == 4
    assert annotate(["memory://records"], {"class_name": "PEP8Scorer"}, None, tmp_path / "out") == manifest
    before = fingerprint("memory://records")
    with memory.open("/records/a.jsonl", "wb") as file:
        file.write(b'{"text": "longer"}\n')
    assert fingerprint("memory://records") != before
    assert texts("memory://records/a.jsonl") == ["longer"]


def test_protocols_that_need_an_extra_name_it(monkeypatch):
    for protocol, extra in (("s3", "s3"), ("gs", "gcs"), ("az", "azure")):
        monkeypatch.setitem(__import__("sys").modules, {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}[protocol], None)
        with pytest.raises(MissingExtraError, match=rf"pip install 'phf\[{extra}\]'"):
            read(f"{protocol}://bucket/a.jsonl")
    with pytest.raises(CorpusError, match=r"nothing://a: .*Choose one of the protocols s3"):
        read("nothing://a")


def test_a_file_is_what_its_links_lead_to(tmp_path, monkeypatch):
    put(tmp_path / "real" / "a.jsonl", "{}\n")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "b.jsonl").symlink_to(tmp_path / "real" / "a.jsonl")
    place = (tmp_path / "real" / "a.jsonl").resolve()
    stat = place.stat()
    monkeypatch.chdir(tmp_path / "real")
    folders: dict[str, str] = {}
    for path in ("a.jsonl", "b.jsonl", "../folder/a.jsonl", str(tmp_path / "folder" / "b.jsonl")):
        assert StoredFile.local(path).identity(folders) == f"{place}:{stat.st_size}:{stat.st_mtime_ns}"
