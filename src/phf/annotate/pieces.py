"""A corpus as pieces: what a worker reads and scores at a time. Where they are cut depends only on the corpus.

A piece of JSON Lines or Parquet is a span of a file, one of small files some of them: the worker reads them itself, and the
process that distributes the work looks only for line ends and at footers. What cannot be read from an arbitrary position (a
large file that is compressed, CSV, another table, a dataset of the Hub) is read by one process, document by document, and sent.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from phf.annotate.corpus_piece import OF_ROWS, CorpusPiece, Cursor, with_advice
from phf.corpus.formats.parquet_rows import GroupSize, cut_rows
from phf.corpus.formats.row_policy import BadRowError, ReadNotes, ReadOptions
from phf.corpus.formats.stored import is_url
from phf.corpus.sources.documents import Document, DocumentReader
from phf.corpus.sources.listing import ListedFile
from phf.corpus.sources.parts import Part, content_bytes
from phf.corpus.sources.rows import has_line_spans, line_spans, row_sizes

PIECE_SIZE = 2_000_000
"""Bytes of files, or characters of documents that are sent."""
PIECE_DOCUMENTS = 10_000
PIECE_FILES = 500
"""Opening a file takes longer than reading a small one."""
LAST_PIECES = 4
"""At the end of a corpus a piece is this fraction of what is left, so that all workers end at about the same time, ..."""
LEAST_PIECE_SIZE = 125_000
"""... but no smaller."""


def piece_settings() -> dict[str, int]:
    """What determines where pieces are cut, besides the corpus."""
    return {
        "piece_size": PIECE_SIZE,
        "piece_documents": PIECE_DOCUMENTS,
        "piece_files": PIECE_FILES,
        "last_pieces": LAST_PIECES,
        "least_piece_size": LEAST_PIECE_SIZE,
    }


def pieces_of(
    number: int, part: Part, start: Cursor, options: ReadOptions | None, *, is_strict: bool, is_last: bool
) -> Iterator[CorpusPiece]:
    """The pieces of part `number` of a corpus from `start` on; those at the end of its last part get smaller and smaller."""
    cursor = start
    bytes_before = [0, *accumulate(file.stored.num_bytes for file in part.files)]
    while not is_end(part, cursor):
        if not part.files or is_url(part.files[0].stored.location):
            # how a place is reached may be known to this process alone
            pieces = _sent(number, part, part, cursor, options, is_strict, is_last)
        else:
            file, left = part.files[cursor.file], bytes_before[-1] - bytes_before[cursor.file] - cursor.position
            behind = bytes_before[-1] - bytes_before[cursor.file + 1]
            if not cursor.position and (part.kind == "text" or content_bytes(file) <= _size(left, is_last)):
                pieces = iter([_gathered(number, part, cursor, _size(left, is_last))])
            elif has_line_spans(file):
                pieces = _lines(number, part, cursor, lambda left, more=behind: _size(left + more, is_last))  # type: ignore[misc]
            elif sizes := _row_sizes(file, cursor, options):
                pieces = _rows(number, part, cursor, sizes, lambda left, more=behind: _size(left + more, is_last))  # type: ignore[misc]
            else:
                one = replace(part, files=(file,), num_bytes=file.stored.num_bytes)
                is_last_file = is_last and len(part.files) == cursor.file + 1
                pieces = _sent(number, part, one, cursor, options, is_strict, is_last_file)
        for piece in pieces:
            yield piece
            cursor = piece.end


def is_end(part: Part, cursor: Cursor) -> bool:
    """Whether nothing of the part is left after the cursor."""
    return cursor.file >= max(len(part.files), 1)


def _size(left: int, is_last: bool) -> int:
    """Size of the next piece, given how much is left of the part."""
    return min(PIECE_SIZE, max(left // LAST_PIECES, LEAST_PIECE_SIZE)) if is_last else PIECE_SIZE


def _gathered(number: int, part: Part, start: Cursor, enough: int) -> CorpusPiece:
    """Small files from `start` on, until they are enough."""
    files: list[ListedFile] = []
    size = 0
    for file in part.files[start.file : start.file + PIECE_FILES]:
        if files and part.kind != "text" and content_bytes(file) > enough:
            break
        files.append(file)
        size += content_bytes(file)
        if size >= enough:
            break
    end = Cursor(start.piece + 1, start.file + len(files))
    num_bytes = sum(file.stored.num_bytes for file in files)
    return CorpusPiece(number, start, end, replace(part, files=tuple(files), num_bytes=num_bytes), num_bytes=num_bytes)


def _lines(number: int, part: Part, start: Cursor, size: Callable[[int], int]) -> Iterator[CorpusPiece]:
    """Spans of one file of JSON Lines, from `start` to its end; `size`: bytes left of the file -> bytes of a span."""
    file = part.files[start.file]
    one = replace(part, files=(file,), num_bytes=file.stored.num_bytes)
    cursor = start
    for span, next_line in line_spans(file, start.position, start.line, size):
        end = Cursor(cursor.piece + 1, cursor.file, span.end, next_line)
        if span.end >= file.stored.num_bytes:
            end = Cursor(cursor.piece + 1, cursor.file + 1)
        yield CorpusPiece(number, cursor, end, one, span, num_bytes=span.end - span.start)
        cursor = end


def _row_sizes(file: ListedFile, cursor: Cursor, options: ReadOptions | None) -> list[GroupSize]:
    # an older version counted documents: what it began is read to its end in that way
    is_by_rows = not cursor.position or cursor.line == OF_ROWS
    return row_sizes(file, (options or ReadOptions()).columns) if is_by_rows else []


def _rows(
    number: int, part: Part, start: Cursor, sizes: list[GroupSize], size: Callable[[int], int]
) -> Iterator[CorpusPiece]:
    """Spans of the rows of one Parquet file, from `start` to its end; `size`: bytes left of the file -> bytes of a span."""
    file = part.files[start.file]
    cursor = start
    num_rows = sum(group.num_rows for group in sizes)
    for span, share in cut_rows(sizes, start.position, size, PIECE_DOCUMENTS):
        end = Cursor(cursor.piece + 1, cursor.file, span.stop, OF_ROWS)
        if span.stop == num_rows:
            end = Cursor(cursor.piece + 1, cursor.file + 1)
        num_bytes = share * file.stored.num_bytes
        one = replace(part, files=(file,), num_bytes=round(num_bytes), rows=span)
        yield CorpusPiece(number, cursor, end, one, num_bytes=num_bytes)
        cursor = end


@dataclass(slots=True)
class _Read:
    """A document that was read to be sent."""

    document: Document
    notes: ReadNotes
    """What was not read before it; for the last document, also after it."""
    share: float
    """Share of the file that has been read up to and including it, in [0, 1]."""


def _sent(
    number: int, part: Part, files: Part, start: Cursor, options: ReadOptions | None, is_strict: bool, is_last: bool
) -> Iterator[CorpusPiece]:
    """Documents from `start` to the end of `files`: a file of the part, or all of it."""
    reader = DocumentReader(files, options, is_strict=is_strict)
    behind = Cursor(file=start.file + max(len(files.files), 1))
    documents: list[Document] = []
    notes, cursor, share = ReadNotes(), start, 0.0

    def piece(end: Cursor, share_now: float) -> CorpusPiece:
        num_bytes = (share_now - share) * (files.num_bytes or 0)
        return CorpusPiece(number, cursor, end, files, None, documents, notes, num_bytes)

    try:
        for group, is_at_end in cut_documents(_read(reader, start.position), is_last):
            documents = [read.document for read in group]
            for read in group:
                notes.update(read.notes)
            position = cursor.position + len(group)
            end = behind if is_at_end else Cursor(file=start.file, position=position)
            end = end._replace(piece=cursor.piece + 1)
            share_now = 1.0 if is_at_end else group[-1].share
            yield piece(end, share_now)
            notes, cursor, share = ReadNotes(), end, share_now
        if cursor.file == start.file:  # nothing but rows that cannot be read
            notes, documents = reader.notes.take(), []
            yield piece(behind._replace(piece=cursor.piece + 1), 1.0)
    except BadRowError as error:
        raise with_advice(error) from None


def _read(reader: DocumentReader, skipped: int) -> Iterator[_Read]:
    """Documents after the first `skipped`, each with what was not read before it; the last one, also with what follows it."""
    before: _Read | None = None
    for count, document in enumerate(reader):
        notes = reader.notes.take()
        if count < skipped:
            continue
        if before is not None:
            yield before
        before = _Read(document, notes, reader.fraction)
    if before is not None:
        before.notes.update(reader.notes.take())
        yield before


def cut_documents(documents: Iterable[_Read], is_last: bool) -> Iterator[tuple[list[_Read], bool]]:
    """(consecutive documents that are a piece, whether they are the last ones)."""
    group: list[_Read] = []
    num_chars, enough = 0, PIECE_SIZE
    for read, chars_left, is_at_end in _with_chars_left(documents, LAST_PIECES if is_last else 0):
        if not group and chars_left is not None:
            enough = _size(chars_left, is_last)
        group.append(read)
        num_chars += len(read.document.text)
        if is_at_end or len(group) == PIECE_DOCUMENTS or num_chars >= enough:
            yield group, is_at_end
            group, num_chars = [], 0


def _with_chars_left(documents: Iterable[_Read], pieces_ahead: int) -> Iterator[tuple[_Read, int | None, bool]]:
    """Each document with the number of characters from it to the end, None if they fill more than `pieces_ahead`
    pieces, and whether it is the last one."""
    ahead: deque[_Read] = deque()
    num_chars = 0
    for read in documents:
        ahead.append(read)
        num_chars += len(read.document.text)
        while len(ahead) > 1 and (
            num_chars > pieces_ahead * PIECE_SIZE or len(ahead) > pieces_ahead * PIECE_DOCUMENTS + 1
        ):
            num_chars -= len(ahead[0].document.text)
            yield ahead.popleft(), None, False
    while ahead:
        is_at_end = len(ahead) == 1
        yield ahead[0], num_chars, is_at_end
        num_chars -= len(ahead.popleft().document.text)
