"""Where a corpus is cut into pieces: by nothing but the corpus, and the same from any place on."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phf.annotate import pieces
from phf.annotate.corpus_piece import CorpusPiece, Cursor, read_piece
from phf.annotate.pieces import pieces_of
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.sources.documents import Document, read_documents
from phf.corpus.sources.parts import list_corpus
from phf.errors import CorpusError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_SIZE", 100)
    monkeypatch.setattr(pieces, "PIECE_DOCUMENTS", 50)
    monkeypatch.setattr(pieces, "PIECE_FILES", 5)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 20)


def sizes(lengths, is_last):
    """Characters of the pieces of documents that are sent."""
    reads = [pieces._Read(Document(str(n), "x" * length), ReadNotes(), 0.0) for n, length in enumerate(lengths)]
    groups = list(pieces.cut_documents(reads, is_last))
    assert [read for group, _ in groups for read in group] == reads
    assert [is_at_end for _, is_at_end in groups] == [False] * (len(groups) - 1) + [True] * bool(groups)
    return [sum(len(read.document.text) for read in group) for group, _ in groups]


def test_pieces_are_of_a_size_but_smaller_and_smaller_at_the_end_of_the_corpus():
    assert sizes([10] * 67, is_last=False) == [100, 100, 100, 100, 100, 100, 70]
    # 670, 570 and 470 are more than four pieces; then a quarter of 370, 270, 200, 150, ..., in whole documents
    assert sizes([10] * 67, is_last=True) == [100, 100, 100, 100, 70, 50, 40, 30, 20, 20, 20, 20]


def test_large_and_empty_documents_are_cut_like_others():
    assert sizes([0, 950, 0, 0, 10, 300], is_last=True) == [950, 310]
    assert sizes([0, 0], is_last=True) == sizes([0, 0], is_last=False) == [0]
    assert sizes([], is_last=True) == []


def test_a_piece_has_no_more_documents_than_allowed_however_short_they_are():
    assert sizes([0] * 120, is_last=True) == sizes([0] * 120, is_last=False) == [0, 0, 0]
    assert sizes([1] * 430, is_last=False) == [50] * 8 + [30]


def line(number, length=10):
    """A line of JSON of 22 bytes, its end included, or longer."""
    return (json.dumps({"text": f"{number:0{length - 1}}"}) + "\n").encode()


START = Cursor()


def all_pieces(source, start=START, is_last=True):
    (part,) = list_corpus([str(source)]).parts
    return list(pieces_of(3, part, start, None, is_strict=True, is_last=is_last))


def write_csv(path, count):
    path.write_text("id,text\n" + "".join(f"{n},{n:09}\n" for n in range(count)))
    return path


def write_texts(folder, count):
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:03}.txt").write_text("x" * (n % 7))
    return folder


def write_gz(path, count):
    path.write_bytes(gzip.compress(b"".join(map(line, range(count)))))
    return path


def write_lines(path, count):
    path.write_bytes(b"\n".join(line(n, 10 + n % 3 * 40).strip() for n in range(count)))
    return path


def write_array(path, count):
    path.write_text(json.dumps([{"text": str(n) * 10} for n in range(count)]))
    return path


def write_parquet(path, count, rows_of_group=7, **columns):
    texts = [f"{n:09}" * (n % 3 + 1) for n in range(count)]
    pq.write_table(pa.table({"text": texts, **columns}), path, row_group_size=rows_of_group)
    return path


SOURCES = [
    (write_parquet, "a.parquet"),
    (write_lines, "a.jsonl"),
    (write_gz, "a.jsonl.gz"),
    (write_csv, "a.csv"),
    (write_array, "a.json"),
    (write_texts, "folder"),
]


@pytest.mark.parametrize(("write", "name"), SOURCES, ids=lambda value: str(getattr(value, "__name__", value)))
@pytest.mark.parametrize("is_last", [True, False])
def test_pieces_hold_all_documents_once_and_are_the_same_from_any_place_on(write, name, is_last, tmp_path):
    source = write(tmp_path / name, 60)
    whole = all_pieces(source, is_last=is_last)
    assert len(whole) >= 5
    documents = [document for piece in whole for document in read_piece(piece, None, True)[0]]
    assert documents == list(read_documents(str(source)))
    assert sum(piece.num_bytes for piece in whole) == pytest.approx(
        sum(path.stat().st_size for path in source.iterdir()) if source.is_dir() else source.stat().st_size
    )
    assert [piece.name for piece in whole] == [f"piece-00003-{number:07}" for number in range(len(whole))]
    for number in (1, 3, len(whole) - 1):
        rest = all_pieces(source, whole[number].start, is_last)
        assert [piece.end for piece in rest] == [piece.end for piece in whole[number:]]
        documents_read = [document for piece in rest for document in read_piece(piece, None, True)[0]]
        assert documents_read == [d for piece in whole[number:] for d in read_piece(piece, None, True)[0]]


@pytest.mark.parametrize(("write", "name"), SOURCES, ids=lambda value: str(getattr(value, "__name__", value)))
def test_a_piece_that_was_sent_is_the_same_piece(write, name, tmp_path):
    for piece in all_pieces(write(tmp_path / name, 20)):
        sent = CorpusPiece.of_json(json.loads(json.dumps(piece.to_json())), piece.documents_bytes())
        assert (sent.name, sent.start, sent.end) == (piece.name, piece.start, piece.end)
        assert read_piece(sent, None, True) == read_piece(piece, None, True)


def test_lines_are_cut_by_bytes_at_their_ends(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"".join(line(n) for n in range(100)))
    spans = [piece.span for piece in all_pieces(tmp_path / "a.jsonl", is_last=False)]
    num_bytes = len(line(0))
    lines_each = -(-100 // num_bytes)
    assert [span.end - span.start for span in spans[:-1]] == [lines_each * num_bytes] * (len(spans) - 1)
    assert [span.first_line for span in spans] == [1 + n * lines_each for n in range(len(spans))]


def test_the_pieces_of_a_table_are_spans_of_its_rows_by_the_size_of_the_columns_that_are_read(tmp_path):
    source = write_parquet(tmp_path / "a.parquet", 300, 30, images=[b"x" * 1000] * 300)
    whole = all_pieces(source, is_last=False)
    assert all(piece.documents is None and piece.files.rows for piece in whole)
    assert 10 < len(whole) < 300
    assert max(len(read_piece(piece, None, True)[0]) for piece in whole) <= 50  # however small they are
    spans = [piece.files.rows for piece in whole]
    assert [row for span in spans for row in range(*span)] == list(range(300))
    assert [tuple(piece.start) for piece in whole[1:]] == [(n, 0, span.start, 0) for n, span in enumerate(spans)][1:]


def test_a_table_that_an_older_version_has_begun_by_documents_is_read_on_by_documents(tmp_path):
    source = write_parquet(tmp_path / "a.parquet", 60)
    rest = all_pieces(source, Cursor(3, 0, 20, 1))
    assert all(piece.documents for piece in rest)
    assert [document for piece in rest for document in piece.documents] == list(read_documents(str(source)))[20:]


def test_bad_rows_of_a_table_belong_to_the_piece_that_they_are_in(tmp_path):
    texts = [None if n in (0, 17, 59) else f"{n:09}" for n in range(60)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=7)
    (part,) = list_corpus([str(tmp_path / "a.parquet")]).parts
    whole = list(pieces_of(0, part, Cursor(), None, is_strict=False, is_last=False))
    read = [read_piece(piece, None, False) for piece in whole]
    assert [document.id for documents, _ in read for document in documents] == [
        f"a.parquet:{n}" for n in range(60) if texts[n]
    ]
    for piece, (_, notes) in zip(whole, read, strict=True):
        bad = [n for n in range(*piece.files.rows) if not texts[n]]
        assert [row["where"].rpartition(" ")[2] for row in notes.skipped.names] == [str(n) for n in bad]
    with pytest.raises(CorpusError, match=r"a\.parquet, row 0: .*--on-error skip"):
        read_piece(whole[0], None, True)


def test_a_table_that_cannot_be_read_is_reported_as_it_always_was(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1\x15\x04" + b"junk" * 100)
    with pytest.raises(CorpusError, match=r"a\.parquet: is not a readable Parquet file"):
        all_pieces(tmp_path / "a.parquet")
    pq.write_table(pa.table({"number": list(range(600))}), tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match=r"b\.parquet.*text"):
        all_pieces(tmp_path / "b.parquet")


def test_small_files_are_one_piece_and_a_large_one_between_them_is_several(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}.jsonl").write_bytes(line(number))
    (tmp_path / "10.jsonl").write_bytes(b"".join(line(n) for n in range(10)))
    shapes = [(len(piece.files.files), piece.span is None) for piece in all_pieces(tmp_path, is_last=False)]
    # a hundred bytes are five files of 22, or five lines of one
    assert shapes == [(5, True), (5, True), (1, False), (1, False), (5, True), (4, True)]


def test_bad_rows_belong_to_the_piece_that_they_are_in(tmp_path):
    rows = [f"{n},{n:09}\n" for n in range(30)]
    rows[0] = rows[17] = rows[29] = "broken\n"
    (tmp_path / "a.csv").write_text("id,text\n" + "".join(rows))
    (part,) = list_corpus([str(tmp_path / "a.csv")]).parts

    def skipped(start):
        of_part = pieces_of(0, part, start, None, is_strict=False, is_last=False)
        return [[row["where"].rpartition(" ")[2] for row in piece.notes.skipped.names] for piece in of_part]

    assert skipped(Cursor()) == [["2"], ["19"], ["31"]]
    second = list(pieces_of(0, part, Cursor(), None, is_strict=False, is_last=False))[1].start
    assert skipped(second) == [["19"], ["31"]]
    with pytest.raises(CorpusError, match=r"a\.csv, line 2: .*--on-error skip"):
        all_pieces(tmp_path / "a.csv")


def test_a_file_of_nothing_but_bad_rows_is_a_piece_without_documents(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n" + "broken\n" * 20)
    (part,) = list_corpus([str(tmp_path / "a.csv")]).parts
    (piece,) = pieces_of(0, part, Cursor(), None, is_strict=False, is_last=True)
    assert (piece.documents, piece.notes.skipped.count, piece.end) == ([], 20, Cursor(1, 1))
