"""Shards of an annotated dataset: consecutive pieces joined into a file of the requested size.

A part's shards are made from its start to its end. Next to each is a file of counts that records where in the part it
begins and ends, so a resumed job starts after the finished shards, without reading them.
"""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from phf.annotate.checks import count_ids
from phf.annotate.corpus_piece import CorpusPiece, Cursor, documents_sha256, encoded, read_piece, with_advice
from phf.annotate.job import Job
from phf.annotate.pieces import is_end, pieces_of
from phf.annotate.scoring import PieceResult
from phf.corpus.duplicates import DuplicateCounter
from phf.corpus.formats.row_policy import BadRowError, ReadNotes
from phf.corpus.sources.parts import Part
from phf.errors import CorpusError
from phf.storage.files import atomic_write, file_sha256, sync_file, write_text_atomic
from phf.storage.reading import read_json_as


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
    """Of the file."""
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
    """Of the sources, as much as it is of them."""
    pieces: list[list[Any]] = field(default_factory=list)
    """[`Cursor` at which it ends, hash of its documents] of each of its pieces."""
    notes: dict[str, Any] = field(default_factory=lambda: ReadNotes().to_json())
    """What was not read of the corpus (`ReadNotes.to_json`)."""


Step = CorpusPiece | ShardResult
"""What comes next in a part: a piece to score, or a shard that is finished."""


def shard_name(part_number: int, number: int) -> str:
    """Names sort as the documents do."""
    return f"shard-{part_number:05d}-{number:06d}.parquet"


def part_identity(job: Job, part: Part, *, is_last: bool) -> str:
    """Hash of what decides the pieces of a part: its files as they are now, and whether it is the last one."""
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
            _write_counts(job.output, shard)
        finished.append(shard)
        if job.is_strict and (skipped := ReadNotes.of_json(shard.notes).skipped.names):
            raise with_advice(BadRowError(skipped[0]["where"], skipped[0]["reason"]))
    return finished


def _finished_shard(counts: Path, precision: str | None) -> ShardResult | None:
    try:
        shard: ShardResult = read_json_as(ShardResult, counts, CorpusError, finite=True)
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


def _write_counts(output: Path, shard: ShardResult) -> None:
    content = json.dumps(asdict(shard), ensure_ascii=False) + "\n"
    write_text_atomic(output / f"{shard.name}.json", content, sync=False)


class _PartShards:
    """The shards of one part, as far as they are known."""

    def __init__(self, number: int, identity: str) -> None:
        self.number = number
        self.identity = identity
        self.steps: deque[Step] = deque()
        self.results: dict[str, PieceResult] = {}
        self.current: list[tuple[CorpusPiece, PieceResult]] = []
        """Scored, and not yet in a shard."""
        self.num_text_bytes = 0
        self.num_shards = 0
        self.has_ended = False


class ShardWriter:
    """Joins pieces, in any order in which they are scored, and waits for the disk in the background.

    When the block has ended without an error, every shard of the parts that were ended is on disk, in `results`.
    """

    def __init__(self, job: Job, identities: Sequence[str]) -> None:
        self.results: list[ShardResult] = []
        """With the first of what was not read."""
        self._job = job
        self._parts = [_PartShards(number, identity) for number, identity in enumerate(identities)]
        self._ids = DuplicateCounter()
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[ShardResult]] = deque()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if error is None:
            self._collect(wait=True)

    @property
    def num_duplicate_ids(self) -> int:
        """Documents that have the id of an earlier one; known when the block has ended."""
        return self._ids.num_duplicates

    def add(self, number: int, step: Step) -> None:
        """What comes next in a part."""
        part = self._parts[number]
        part.steps.append(step)
        self._join(part)

    def end(self, number: int) -> None:
        """Nothing more comes in a part."""
        part = self._parts[number]
        part.has_ended = True
        self._join(part)

    def scored(self, piece: CorpusPiece, result: PieceResult) -> None:
        """A piece that was added is finished."""
        part = self._parts[piece.part]
        part.results[piece.name] = result
        self._join(part)

    def _join(self, part: _PartShards) -> None:
        while part.steps:
            step = part.steps[0]
            if isinstance(step, ShardResult):
                self._write(part)
                assert step.name == shard_name(part.number, part.num_shards)
                part.num_shards += 1
                self._waiting.append(self._thread.submit(self._keep, step))
            elif step.name in part.results:
                result = part.results.pop(step.name)
                part.current.append((step, result))
                part.num_text_bytes += result.num_text_bytes
                if part.num_text_bytes >= self._job.shard_bytes:
                    self._write(part)
            else:
                break
            part.steps.popleft()
        if part.has_ended and not part.steps:
            self._write(part)
        self._collect()

    def _write(self, part: _PartShards) -> None:
        if not part.current:
            return
        name = shard_name(part.number, part.num_shards)
        self._waiting.append(self._thread.submit(self._make, name, part.identity, part.current))
        part.current, part.num_text_bytes, part.num_shards = [], 0, part.num_shards + 1

    def _make(self, name: str, identity: str, current: Sequence[tuple[CorpusPiece, PieceResult]]) -> ShardResult:
        return self._keep(_write_shard(self._job, name, identity, current))

    def _keep(self, shard: ShardResult) -> ShardResult:
        """A shard that is on disk, with no more of what was not read than has to be in memory."""
        if shard.num_documents:
            count_ids(self._job.output / shard.name, self._ids)
        return replace(shard, notes=ReadNotes.of_json(shard.notes).first().to_json(), pieces=[])

    def _collect(self, wait: bool = False) -> None:
        while self._waiting and (wait or self._waiting[0].done()):
            self.results.append(self._waiting.popleft().result())


def _write_shard(job: Job, name: str, identity: str, current: Sequence[tuple[CorpusPiece, PieceResult]]) -> ShardResult:
    """Join pieces into a shard; they are deleted once it is safe."""
    # imported where it is needed: it is slow, and a worker does not use it
    from phf.corpus.parquet_join import Joined, join_parquet

    results = [result for _, result in current]
    paths = [job.pieces / f"{result.name}.parquet" for result in results if result.num_documents]
    joined = Joined("", 0)
    if paths:
        with atomic_write(job.output / name, sync=False) as partial:
            joined = join_parquet(paths, partial)
        sync_file(job.output / name)
    notes, reasons = ReadNotes(), Counter[str]()
    for result in results:
        notes.update(ReadNotes.of_json(result.notes))
        reasons.update(result.reasons)
    shard = ShardResult(
        name=name,
        num_documents=sum(result.num_documents for result in results),
        num_chars=sum(result.num_chars for result in results),
        num_segments=sum(result.num_segments for result in results),
        num_unscored=sum(result.num_unscored for result in results),
        reasons=dict(sorted(reasons.items())),
        sha256=joined.sha256,
        num_bytes=joined.num_bytes,
        precision=results[0].precision,
        identity=identity,
        start=list(current[0][0].start),
        end=list(current[-1][0].end),
        num_source_bytes=round(sum(piece.num_bytes for piece, _ in current), 3),
        pieces=[[list(piece.end), result.documents_sha256] for piece, result in current],
        notes=notes.to_json(),
    )
    _write_counts(job.output, shard)
    for result in results:
        for path in (job.pieces / f"{result.name}.json", job.pieces / f"{result.name}.parquet"):
            path.unlink(missing_ok=True)
    return shard
