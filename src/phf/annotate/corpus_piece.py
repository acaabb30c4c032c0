"""One piece of a corpus: where its documents are, how it is sent to a worker, how it is read, and what is made of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from phf.corpus.formats.parquet_rows import RowSpan
from phf.corpus.formats.row_policy import BadRowError, ReadNotes, ReadOptions
from phf.corpus.formats.stored import StoredFile
from phf.corpus.sources.documents import Document, DocumentReader
from phf.corpus.sources.listing import ListedFile
from phf.corpus.sources.parts import Part
from phf.corpus.sources.rows import LineSpan
from phf.errors import CorpusError

OF_ROWS = 0
"""`Cursor.line` of a place in a file that is read by rows."""


class Cursor(NamedTuple):
    """A place in a part, between two documents."""

    piece: int = 0
    """Number of the piece that begins here."""
    file: int = 0
    position: int = 0
    """Byte of the file, its row, or documents of it that were read; 0 where the file begins."""
    line: int = 1
    """Line that begins here, where the position is a byte; `OF_ROWS` where it is a row."""


@dataclass(frozen=True)
class CorpusPiece:
    """Consecutive documents of a part: where they are, or the documents themselves."""

    part: int
    """Number of the part."""
    start: Cursor
    end: Cursor
    files: Part
    """The part, with the files, and of a Parquet file the rows, that the documents are in."""
    span: LineSpan | None = None
    """Their lines in the file; None: all of the files."""
    documents: list[Document] | None = None
    """Set if a worker cannot read them itself."""
    notes: ReadNotes = field(default_factory=ReadNotes)
    """What was not read between the documents that are sent."""
    num_bytes: float = 0.0
    """The piece's share of the part's size."""

    @property
    def name(self) -> str:
        """Name of the piece; names sort in the order of the documents."""
        return f"piece-{self.part:05d}-{self.start.piece:07d}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the documents; see `documents_bytes`."""
        part = self.files
        files = [[f.name, f.kind, f.stored.location, f.stored.num_bytes, f.stored.stamp] for f in part.files]
        return {
            "part": self.part,
            "start": self.start,
            "end": self.end,
            "files": [part.source, part.kind, part.name, files if self.documents is None else []],
            "rows": part.rows,
            "span": None if self.span is None else [self.span.start, self.span.end, self.span.first_line],
            "notes": None if self.documents is None else self.notes.to_json(),
        }

    def documents_bytes(self) -> bytes:
        """The documents as they are sent; empty where the worker reads them."""
        if self.documents is None:
            return b""
        return json.dumps([[d.id, d.text, d.meta] for d in self.documents], default=str).encode()

    @classmethod
    def of_json(cls, values: dict[str, Any], documents: bytes) -> "CorpusPiece":
        """The piece that `to_json` and `documents_bytes` made plain."""
        source, kind, name, listed = values["files"]
        files = tuple(ListedFile(n, StoredFile(place, size, stamp), k) for n, k, place, size, stamp in listed)
        num_bytes = sum(file.stored.num_bytes for file in files) or None
        rows = None if values["rows"] is None else RowSpan(*values["rows"])
        part = Part(source, kind, name, files, num_bytes, rows)
        return cls(
            values["part"],
            Cursor(*values["start"]),
            Cursor(*values["end"]),
            part,
            None if values["span"] is None else LineSpan(*values["span"]),
            [Document(*fields) for fields in json.loads(documents)] if values["notes"] is not None else None,
            ReadNotes() if values["notes"] is None else ReadNotes.of_json(values["notes"]),
        )


@dataclass(frozen=True)
class PieceResult:
    """What is in a finished piece: a Parquet file of one row group, unless it has no documents."""

    name: str
    num_documents: int
    num_chars: int
    num_text_bytes: int
    """UTF-8 bytes of the text."""
    num_segments: int
    num_unscored: int
    """Unscored segments, over all scorers."""
    reasons: dict[str, int]
    documents_sha256: str
    """`documents_sha256` of what it was made of."""
    sha256: str
    """Hash of the file."""
    precision: str = ""
    """`Scorer.precision` of its scorers."""
    notes: dict[str, Any] = field(default_factory=lambda: ReadNotes().to_json())
    """What was not read (`ReadNotes.to_json`)."""
    id_hashes: list[int] = field(default_factory=list)
    """`phf.corpus.duplicates.hash_of_text` of the id of each document."""


def read_piece(piece: CorpusPiece, options: ReadOptions | None, is_strict: bool) -> tuple[list[Document], ReadNotes]:
    """The documents of a piece, and what was not read among them. Raises `CorpusError` for what cannot be read."""
    if piece.documents is not None:
        return piece.documents, piece.notes
    reader = DocumentReader(piece.files, options, is_strict=is_strict, span=piece.span)
    try:
        return list(reader), reader.notes
    except BadRowError as error:
        raise with_advice(error) from None


def with_advice(error: BadRowError) -> CorpusError:
    """The error, with advice for users who may want to leave out what cannot be read."""
    problem = str(error) if str(error).endswith((".", "?")) else f"{error}."
    return CorpusError(f"{problem} To leave out what cannot be read, and count it: --on-error skip.")


def documents_sha256(documents: Sequence[Document], contents: Sequence[bytes]) -> str:
    """Hash of documents: what was made of the same ones need not be rebuilt. `contents`: `encoded` of them."""
    heads = [[document.id, document.meta, len(document.text)] for document in documents]
    digest = hashlib.sha256(json.dumps(heads, default=str).encode())  # what comes to a worker in JSON is the same
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def encoded(documents: Sequence[Document]) -> list[bytes]:
    """UTF-8 of the text of each document."""
    return [document.text.encode() for document in documents]
