"""CSV and TSV, as spreadsheets and other programs write them."""

import gzip

import pytest
from tests.corpus.corpora import put, read, texts

from phf.errors import CorpusError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text\n1,"a, b"\n2,"two\nlines ""here"""\n'),
        ("a.csv", 'id,text\r\n1,"a, b"\r\n2,"two\nlines ""here"""\r\n'),
        ("a.csv", 'id,text\r1,"a, b"\r2,"two\nlines ""here"""\r'),
        ("a.csv", '\ufeff"id","text"\n\n1,"a, b"\n2,"two\nlines ""here"""'),
        ("a.csv", 'id;text\n1;a, b\n2;"two\nlines ""here"""\n'),
        ("a.tsv", 'id\ttext\n1\ta, b\n2\t"two\nlines ""here"""\n'),
        ("a.csv", 'id,text\n1,"a, b"\n2,"two\nlines ""here"""\n'.encode("utf-16")),
        ("a.CSV.gz", gzip.compress(b'id,text\n1,"a, b"\n2,"two\nlines ""here"""\n', mtime=0)),
    ],
)
def test_dialects(tmp_path, name, content):
    documents, _, _ = read(put(tmp_path / name, content))
    assert [(document.id, document.text) for document in documents] == [("1", "a, b"), ("2", 'two\nlines "here"')]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\n1\n", "line 2: has 1 field, but the file has 2 columns"),
        ('id,text\n1,"a\nb"\n2,b,c\n', "line 4: has 3 fields"),
        ('id,text\n1,a\n2,"b\n3,c\n', "line 3: is not a row of CSV: unexpected end of data"),
        (b"id,text\n1,a\n2,\xff\n", "line 3: its 'text' is not UTF-8"),
        ("1,hello\n2,you\n", r"line 1, which names the columns: has no 'text'.*\['1', 'hello'\]"),
        ("text,text\na,b\n", "two of its columns have the same name"),
    ],
)
def test_what_is_broken_is_named_by_its_line(tmp_path, content, message):
    with pytest.raises(CorpusError, match=rf"a\.csv.*{message}"):
        texts(put(tmp_path / "a.csv", content))


def test_a_bad_row_is_skipped_alone(tmp_path):
    content = b'id,text\n1,a\n2\n3,\xff\n4,"b"x\n5,"c\nd"\n'
    documents, notes, _ = read(put(tmp_path / "a.csv", content), is_strict=False)
    assert [(document.id, document.text) for document in documents] == [("1", "a"), ("5", "c\nd")]
    assert [row["where"].rpartition("line ")[2] for row in notes.skipped.names] == ["3", "4", "5"]


def test_columns_are_chosen_as_everywhere(tmp_path):
    path = put(tmp_path / "a.csv", "id,body,lang\n1,a,en\n")
    ((document,), _, _) = read(path, text_column="body", keep=("lang",))
    assert (document.text, document.meta) == ("a", {"lang": "en"})
    assert texts(put(tmp_path / "empty.csv", "")) == texts(put(tmp_path / "header.csv", "id,text\n")) == []
