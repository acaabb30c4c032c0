"""Shards of an annotated dataset: consecutive pieces joined into a file of the requested size.

A part's shards are made from its start to its end. Next to each is a file of counts that records where in the part it
begins and ends, so a resumed job starts after the finished shards, without reading them.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from phf.annotate.corpus_piece import CorpusPiece, Cursor, documents_sha256, encoded, read_piece, with_advice
from phf.annotate.job import Job
from phf.annotate.pieces import is_end, pieces_of
from phf.corpus.formats.row_policy import BadRowError, ReadNotes
from phf.corpus.sources.parts import Part
from phf.errors import CorpusError
from phf.storage.files import file_sha256, write_text_atomic
from phf.storage.reading import read_json_as, typed


@dataclass(frozen=True)
class ShardResult:
    """What is in a finished shard: a Parquet file, unless it has no documents."""

    name: str
    num_documents: int
    num_chars: int
    num_segments: int
    num_unscored: int
    """Unscored segments, over all scorers."""
    reasons: dict[str, int]
    sha256: str
    """Hash of the file."""
    num_bytes: int
    precision: str
    """`Scorer.precision` of its scorers."""
    identity: str
    """`part_identity` of the part that it is of."""
    start: list[int]
    """`Cursor` at which it begins, ..."""
    end: list[int]
    """... and where it ends."""
    num_source_bytes: float
    """Bytes of the sources that it was made from."""
    pieces: list[list[Any]] = field(default_factory=list)
    """[`Cursor` at which it ends, hash of its documents] of each of its pieces."""
    notes: dict[str, Any] = field(default_factory=lambda: ReadNotes().to_json())
    """What was not read of the corpus (`ReadNotes.to_json`)."""


Step = CorpusPiece | ShardResult
"""What comes next in a part: a piece to score, or a shard that is finished."""


def shard_name(part_number: int, number: int) -> str:
    """Name of a shard; names sort in the order of the documents."""
    return f"shard-{part_number:05d}-{number:06d}.parquet"


def part_identity(job: Job, part: Part, *, is_last: bool) -> str:
    """Hash of what determines the pieces of a part: its files as they are now, and whether it is the last one."""
    files = [[file.name, file.stored.location, file.stored.num_bytes, file.stored.stamp] for file in part.files]
    described = [part.kind, part.name, is_last, files or job.fingerprint]
    return hashlib.sha256(json.dumps(described).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def steps_of(job: Job, number: int, part: Part, finished: Sequence[ShardResult], *, is_last: bool) -> Iterator[Step]:
    """All of a part in order; `finished`: `finished_shards` of it."""
    known = {Cursor(*shard.start): shard for shard in finished}
    cursor = Cursor()
    while not is_end(part, cursor):
        if (shard := known.get(cursor)) is not None:
            yield shard
            cursor = Cursor(*shard.end)
            continue
        for piece in pieces_of(number, part, cursor, job.options, is_strict=job.is_strict, is_last=is_last):
            yield piece
            cursor = piece.end
            if cursor in known:
                break


def finished_shards(job: Job, number: int, part: Part, precision: str | None, *, is_last: bool) -> list[ShardResult]:
    """The shards of a part that are in the job's folder already, whole and of the same documents.

    Of a part that is what it was when they were made, nothing is read. `precision`: what they must have been scored in;
    None: any. Raises `CorpusError` if rows were skipped and the job does not allow that.
    """
    identity = part_identity(job, part, is_last=is_last)
    finished: list[ShardResult] = []
    for path in sorted(job.output.glob(f"shard-{number:05d}-*.parquet.json")):
        shard = _finished_shard(path, precision)
        if shard is None:
            continue
        if shard.identity != identity:
            behind = finished[-1].end if finished else list(Cursor())
            if shard.start != behind or not _has_same_documents(job, number, part, shard, is_last):
                break  # nor can what follows be in its place
            shard = replace(shard, identity=identity)
            write_counts(job.output, shard)
        finished.append(shard)
        if job.is_strict and (skipped := ReadNotes.of_json(shard.notes).skipped.names):
            raise with_advice(BadRowError(skipped[0]["where"], skipped[0]["reason"]))
    return finished


def _finished_shard(counts: Path, precision: str | None) -> ShardResult | None:
    from phf.storage.shapes import CursorParts, NotesParts  # with pydantic, a tenth of what a worker needs to start

    try:
        shard: ShardResult = read_json_as(ShardResult, counts, CorpusError, finite=True)
        typed(list[tuple[CursorParts, str]], [*map(tuple, shard.pieces)], str(counts), CorpusError)
        typed(list[CursorParts], [shard.start, shard.end], str(counts), CorpusError)
        typed(NotesParts, shard.notes, str(counts), CorpusError)
    except CorpusError:
        return None  # cut off when the machine lost power, or of an older version
    if counts.name != f"{shard.name}.json" or precision not in (None, shard.precision):
        return None
    path = counts.with_name(shard.name)
    is_whole = not shard.num_documents or (path.is_file() and file_sha256(path) == shard.sha256)
    return shard if is_whole else None


def _has_same_documents(job: Job, number: int, part: Part, shard: ShardResult, is_last: bool) -> bool:
    with suppress(CorpusError):  # said when it is read to be scored
        pieces = pieces_of(number, part, Cursor(*shard.start), job.options, is_strict=False, is_last=is_last)
        for (end, sha256), piece in zip(shard.pieces, pieces, strict=False):
            documents, _ = read_piece(piece, job.options, False)
            if list(piece.end) != end or documents_sha256(documents, encoded(documents)) != sha256:
                return False
        return True
    return False


def write_counts(output: Path, shard: ShardResult) -> None:
    """Write the file of counts next to a shard."""
    content = json.dumps(asdict(shard), ensure_ascii=False) + "\n"
    write_text_atomic(output / f"{shard.name}.json", content, sync=False)
