"""Text files: UTF-8, or what Python source declares (PEP 263)."""

import pytest
from tests.corpus.corpora import ids, put, read, texts

from phf.corpus.sources import documents as sources
from phf.errors import CorpusError


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.py", b"# -*- coding: latin-1 -*-\nx = 'caf\xe9'\r\n", "# -*- coding: latin-1 -*-\nx = 'café'\n"),
        ("a.PYI", b"# coding=koi8-r\nx = '\xc1'\n", "# coding=koi8-r\nx = 'а'\n"),
        ("a.pyw", b"#!/x\n# vim: set fileencoding=cp1252 :\n'\x80'", "#!/x\n# vim: set fileencoding=cp1252 :\n'€'"),
        (
            "script",
            b"#!/usr/bin/env python3\n# coding: latin-1\n'\xe9'",
            "#!/usr/bin/env python3\n# coding: latin-1\n'é'",
        ),
        ("a.py", "# coding: utf-8\n'é'".encode(), "# coding: utf-8\n'é'"),
        ("a.py", b"\xef\xbb\xbf'x'\n", "'x'\n"),
        ("a.py", b"", ""),
    ],
)
def test_python_source_is_decoded_as_it_declares(tmp_path, name, content, text):
    assert texts(put(tmp_path / name, content)) == [text]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.py", b"x = 1\nx = '\xe9'\n", r"a\.py, line 2: is not UTF-8 \(byte 11\)"),
        ("a.py", b"# coding: nonsense\n", r"a\.py, line 1: cannot be decoded as it declares: unknown encoding"),
        ("a.py", b"# coding: rot13\n", r"a\.py, line 1: cannot be decoded as it declares"),
        ("a.py", b"# coding: undefined\n", r"a\.py, line 1: cannot be decoded as it declares"),
        ("a.py", b"\xef\xbb\xbf# coding: latin-1\n", r"a\.py, line 1: cannot be decoded as it declares"),
        ("a.py", b"# coding: ascii\n\n'\xe9'", r"a\.py, line 3: is not ascii \(byte 18\)"),
        ("a.txt", b"# coding: latin-1\n\xe9", r"a\.txt, line 2: is not UTF-8"),
        ("a.md", "text".encode("utf-16"), r"a\.md, line 1: is not UTF-8"),
    ],
)
def test_what_cannot_be_decoded_is_named_or_skipped(tmp_path, name, content, message):
    path = put(tmp_path / name, content)
    with pytest.raises(CorpusError, match=message):
        texts(path)
    put(tmp_path / "z.txt", "fine")
    documents, notes, _ = read(tmp_path, is_strict=False)
    assert [document.text for document in documents] == ["fine"]
    assert notes.skipped.count == 1


def test_documents_that_no_shard_can_hold_are_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST_DOCUMENT", 10)
    for name, content in (("a.txt", "é" * 6), ("a.jsonl", '{"text": "éééééé"}\n{"text": "ok"}\n')):
        path = put(tmp_path / name, content)
        with pytest.raises(CorpusError, match=r"a\.(txt: is 12 bytes long|jsonl, line 1: its text is longer)"):
            texts(path)
    assert ids(path, is_strict=False) == ["a.jsonl:1"]
