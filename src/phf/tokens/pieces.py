"""A corpus encoded in pieces, by this process or by several: the unit of work, of resume and of what is encoded ahead.

A piece is as many consecutive documents of a part of the corpus as make up `PIECE_CHARS`, or lines of a large file of JSON
Lines that take as many bytes: it depends on the corpus alone, not on who encodes it.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from phf.corpus.dataset import BATCH_CHARS, in_batches, read_annotated
from phf.corpus.sources.division import divided
from phf.corpus.sources.documents import AnnotatedDocument, fingerprint
from phf.corpus.sources.parts import Part, distinct_parts
from phf.corpus.sources.rows import has_line_spans, line_spans
from phf.storage.files import atomic_write
from phf.tokens.encoded import FORMAT, EncodedDocuments, Encoder, Tokenization
from phf.tokens.text_tokenizer import TextTokenizer
from phf.workers.cpus import available_cpus

PIECES_FORMAT = 2
"""Version of how parts are cut into pieces. Raise it when that changes."""
PIECE_CHARS = 2**22
PART_BYTES = 2**19
"""Parts of the corpus are cut into smaller ones of about this size, as stored, where they can be: about half a second's work,
so that processes end at about the same time."""
SHARED_BYTES = 2**24
"""A part that is larger nonetheless is encoded by several processes, each of which reads all of it, but parses only its own
lines of JSON."""
UNKNOWN_BYTES = 2**30
"""Assumed size of a source whose size is not known, such as a dataset on the Hub."""
BYTES_OF_A_PROCESS = 2**22
"""Starting a process does not pay for less of the corpus than this, as stored."""


@dataclass(frozen=True)
class Corpus:
    """The sources to encode, and how to encode them."""

    sources: tuple[str, ...]
    scores_column: str
    tokenizer: TextTokenizer
    tokenization: Tokenization
    piece_chars: int = PIECE_CHARS
    eval_group: str | None = None
    """Key of `meta` by whose values documents are held out; see `split_hash_of`."""
    more_columns: tuple[str, ...] = ()
    """Further columns of scores that are read along, where documents are not stored."""

    @property
    def key(self) -> str:
        """Hash of everything that decides what a store of it holds: sources in their order, tokenizer, tokenization,
        what documents are held out by."""
        parts = [
            FORMAT,
            [fingerprint(source) for source in self.sources],
            self.tokenizer.fingerprint,
            self.tokenization,
            *([] if self.eval_group is None else [self.eval_group]),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    @property
    def division(self) -> str:
        """Hash of everything that decides what each piece of it holds, within its `key`: how files are put into parts, which
        may change from version to version, and the scores."""
        parts = [
            [source, part.kind, [file.name for file in part.files], str(part.rows)] for source, part in self.parts()
        ]
        described = [PIECES_FORMAT, self.scores_column, self.piece_chars, parts, *self.more_columns]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]

    def parts(self) -> list[tuple[str, Part]]:
        """(source, part), in order."""
        named = zip(self.sources, distinct_parts(self.sources), strict=True)
        return [(source, some) for source, parts in named for part in parts for some in divided(part, PART_BYTES)]


@dataclass(frozen=True)
class PieceStart:
    """Where a piece begins in its part."""

    number: int = 0
    byte: int = 0
    """Of a part that is read from any line on; 0 in others."""
    line: int = 1


@dataclass(frozen=True)
class Share:
    """Every n-th piece of a part, from one of its pieces on."""

    part: int
    number: int = 0
    of: int = 1
    start: PieceStart = PieceStart()


@dataclass(frozen=True)
class End:
    """A share is finished."""

    share: Share
    stop: int
    """Its last piece has the number before this one; 0: it has none."""


@dataclass(frozen=True)
class Piece:
    """A piece that is encoded, in a file."""

    part: int
    start: PieceStart
    num_documents: int
    num_tokens: int
    num_altered: int

    @property
    def number(self) -> int:
        """Its number in its part."""
        return self.start.number


def encoder_of(corpus: Corpus) -> Encoder:
    """What encodes its documents."""
    return Encoder(corpus.tokenizer, corpus.tokenization, corpus.eval_group, corpus.more_columns)


def read_sources(sources: Sequence[str], scores_column: str) -> Iterator[AnnotatedDocument]:
    """The annotated documents of all sources, one source after the other."""
    named = distinct_parts(sources)
    return chain.from_iterable(
        read_annotated(source, scores_column, parts) for source, parts in zip(sources, named, strict=True)
    )


def shares(
    parts: Sequence[tuple[str, Part]], processes: int, first_part: int = 0, start: PieceStart = PieceStart()
) -> list[Share]:
    """The work, in the order of the corpus, from the piece of `first_part` that begins at `start` on. Parts that would keep
    one process busy at the end are shared by all."""
    sizes = [_num_bytes(part) for _, part in parts]
    large = max(SHARED_BYTES, sum(sizes) // (4 * max(processes, 1)))
    return [
        Share(number, share, num_shares, start if number == first_part else PieceStart())
        for number, size in enumerate(sizes)
        if number >= first_part
        for num_shares in [processes if size > large else 1]
        for share in range(num_shares)
    ]


def fitting_processes(parts: Sequence[tuple[str, Part]]) -> int:
    """One process per CPU, if the corpus has enough work for them; 0 if it is not worth a process."""
    return min(available_cpus(), sum(_num_bytes(part) for _, part in parts) // BYTES_OF_A_PROCESS)


def _num_bytes(part: Part) -> int:
    return UNKNOWN_BYTES if part.num_bytes is None else part.num_bytes


def encode_share(
    corpus: Corpus,
    source: str,
    part: Part,
    share: Share,
    encoder: Encoder,
    done: Collection[int] = (),
) -> Iterator[tuple[PieceStart, EncodedDocuments | None]]:
    """(start, documents) of each piece of a share of `part`, None for those that are `done`.

    Raises `CorpusError` for documents that are not annotated, `ConfigError` where text becomes a special token.
    """
    for start, documents in _pieces(corpus, source, part, share.start):
        if start.number < share.start.number or start.number % share.of != share.number:
            continue
        if start.number in done:
            yield start, None
        else:
            encoded = [encoder.encode(batch) for batch in in_batches(documents, BATCH_CHARS)]
            yield start, EncodedDocuments.joined(encoded or [encoder.encode([])])


def _pieces(
    corpus: Corpus, source: str, part: Part, start: PieceStart
) -> Iterator[tuple[PieceStart, Iterable[AnnotatedDocument]]]:
    """The pieces of a part: all of them or, if it can be read from any line on, those from `start` on. What is in a
    piece is read on demand, where others do not depend on it."""
    if not _has_line_spans(part, corpus.piece_chars):
        documents = read_annotated(source, corpus.scores_column, [part], more_columns=corpus.more_columns)
        batches = in_batches(documents, corpus.piece_chars)
        yield from ((PieceStart(number), documents) for number, documents in enumerate(batches))
        return
    (file,) = part.files
    spans = line_spans(file, start.byte, start.line, lambda _: corpus.piece_chars)
    for number, (span, _) in enumerate(spans, start.number):
        documents = read_annotated(source, corpus.scores_column, [part], span, corpus.more_columns)
        yield PieceStart(number, span.start, span.first_line), documents


def _has_line_spans(part: Part, piece_bytes: int) -> bool:
    """Whether a part is one file that can be read from any line on, and of more than a piece."""
    if len(part.files) != 1 or part.rows is not None or part.kind != "records":
        return False
    return part.files[0].stored.num_bytes > piece_bytes and has_line_spans(part.files[0])


class PieceFiles:
    """Pieces in a folder, each whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, part: int, number: int) -> Path:
        """The file of a piece."""
        return self.folder / f"{part:07d}-{number:07d}.npz"

    def numbers(self, part: int) -> set[int]:
        """The pieces of a part that were there when this was first asked: those of an interrupted build."""
        return self._earlier.get(part, set())

    @cached_property
    def _earlier(self) -> dict[int, set[int]]:
        earlier: dict[int, set[int]] = {}
        for path in self.folder.glob("*.npz"):
            part, _, number = path.stem.partition("-")
            if not path.name.startswith("."):  # one that is being written
                earlier.setdefault(int(part), set()).add(int(number))
        return earlier

    def write(self, part: int, start: PieceStart, encoded: EncodedDocuments) -> Piece:
        """Raises `OutputError` if that fails."""
        self.write_bytes(part, start.number, encoded.to_bytes())
        return describe_piece(part, start, encoded)

    def write_bytes(self, part: int, number: int, content: bytes) -> None:
        """The same of a piece that is bytes already."""
        with atomic_write(self.path(part, number), sync=False) as partial:
            partial.write_bytes(content)

    def read(self, part: int, number: int) -> EncodedDocuments | None:
        """None for a file that is missing or damaged."""
        try:
            return EncodedDocuments.from_bytes(self.path(part, number).read_bytes())
        except (OSError, ValueError):
            return None


def describe_piece(part: int, start: PieceStart, encoded: EncodedDocuments) -> Piece:
    """A piece with its counts."""
    num_altered = int(encoded.documents["is_altered"].sum())
    return Piece(part, start, len(encoded.documents), len(encoded.ids), num_altered)
