"""Joins the finished pieces of a corpus into shards, in the background."""

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from phf.annotate.checks import count_ids
from phf.annotate.corpus_piece import CorpusPiece, PieceResult
from phf.annotate.job import Job
from phf.annotate.shards import ShardResult, Step, shard_name, write_counts
from phf.corpus.duplicates import DuplicateCounter
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.parquet_join import Joined, ParquetJoiner
from phf.storage.files import sync_file, writing


class _PartShards:
    """The shards of one part that are known so far."""

    def __init__(self, number: int, identity: str) -> None:
        self.number = number
        self.identity = identity
        self.steps: deque[Step] = deque()
        self.results: dict[str, PieceResult] = {}
        self.current: _OpenShard | None = None
        """The shard that the next piece belongs to; None: a new one."""
        self.num_text_bytes = 0
        """Bytes of text in that shard so far."""
        self.num_shards = 0
        self.has_ended = False


class _OpenShard:
    """A shard that is being written: its pieces are joined as they are finished, so little is left to do at the end."""

    def __init__(self, job: Job, name: str, identity: str) -> None:
        self._job, self._name, self._identity = job, name, identity
        self._path = job.output / name
        self._partial = job.output / f".{name}.partial"
        self._scored: list[tuple[CorpusPiece, PieceResult]] = []
        self._joiner: ParquetJoiner | None = None
        """None: there are no documents yet."""

    def add(self, piece: CorpusPiece, result: PieceResult) -> None:
        """Join the next piece."""
        self._scored.append((piece, result))
        if result.num_documents:
            with writing(self._path):
                self._joiner = self._joiner or ParquetJoiner(self._partial)
                self._joiner.add(self._job.pieces / f"{result.name}.parquet")

    def finish(self) -> ShardResult:
        """The shard, on disk; its pieces are deleted, since it is safe now."""
        joined = Joined("", 0)
        if self._joiner is not None:
            with writing(self._path):
                joined = self._joiner.finish()
                self._partial.replace(self._path)
            sync_file(self._path)
        shard = self._described(joined)
        write_counts(self._job.output, shard)
        for _, result in self._scored:
            for path in (self._job.pieces / f"{result.name}.json", self._job.pieces / f"{result.name}.parquet"):
                path.unlink(missing_ok=True)
        return shard

    def close(self) -> None:
        """The shard will not be finished; the process that holds the folder deletes what was written of it."""
        if self._joiner is not None:
            self._joiner.close()

    def _described(self, joined: Joined) -> ShardResult:
        results = [result for _, result in self._scored]
        notes, reasons = ReadNotes(), Counter[str]()
        for result in results:
            notes.update(ReadNotes.of_json(result.notes))
            reasons.update(result.reasons)
        return ShardResult(
            name=self._name,
            num_documents=sum(result.num_documents for result in results),
            num_chars=sum(result.num_chars for result in results),
            num_segments=sum(result.num_segments for result in results),
            num_unscored=sum(result.num_unscored for result in results),
            reasons=dict(sorted(reasons.items())),
            sha256=joined.sha256,
            num_bytes=joined.num_bytes,
            precision=results[0].precision,
            identity=self._identity,
            start=list(self._scored[0][0].start),
            end=list(self._scored[-1][0].end),
            num_source_bytes=round(sum(piece.num_bytes for piece, _ in self._scored), 3),
            pieces=[[list(piece.end), result.documents_sha256] for piece, result in self._scored],
            notes=notes.to_json(),
        )


class ShardWriter:
    """Joins pieces, in any order in which they are scored, and waits for the disk in the background.

    When the block has ended without an error, every shard of the parts that were ended is on disk, in `results`.
    """

    def __init__(self, job: Job, identities: Sequence[str]) -> None:
        self.results: list[ShardResult] = []
        """Finished shards; of what was not read, they hold only the first items."""
        self._job = job
        self._parts = [_PartShards(number, identity) for number, identity in enumerate(identities)]
        self._ids = DuplicateCounter()
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[ShardResult | None]] = deque()
        """The thread's tasks, in order; those that finish a shard return it."""

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        for part in self._parts:
            if part.current is not None:
                part.current.close()
        if error is None:
            self._collect(wait=True)

    @property
    def num_duplicate_ids(self) -> int:
        """Documents that have the id of an earlier one; known when the block has ended."""
        return self._ids.num_duplicates

    def add(self, number: int, step: Step) -> None:
        """Add what comes next in a part."""
        part = self._parts[number]
        part.steps.append(step)
        self._join(part)

    def end(self, number: int) -> None:
        """Nothing more will be added to a part."""
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
                if part.current is None:
                    name = shard_name(part.number, part.num_shards)
                    part.current = _OpenShard(self._job, name, part.identity)
                self._waiting.append(self._thread.submit(self._add, part.current, step, result))
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
        if part.current is None:
            return
        self._waiting.append(self._thread.submit(self._finish, part.current))
        part.current, part.num_text_bytes, part.num_shards = None, 0, part.num_shards + 1

    def _add(self, shard: _OpenShard, piece: CorpusPiece, result: PieceResult) -> None:
        self._ids.add_hashes(result.id_hashes)
        shard.add(piece, replace(result, id_hashes=[]))

    def _finish(self, shard: _OpenShard) -> ShardResult:
        return _with_first_notes(shard.finish())

    def _keep(self, shard: ShardResult) -> ShardResult:
        """A shard that was on disk already."""
        if shard.num_documents:
            count_ids(self._job.output / shard.name, self._ids)
        return _with_first_notes(shard)

    def _collect(self, wait: bool = False) -> None:
        while self._waiting and (wait or self._waiting[0].done()):
            if (shard := self._waiting.popleft().result()) is not None:
                self.results.append(shard)


def _with_first_notes(shard: ShardResult) -> ShardResult:
    """The shard with no more of what was not read than has to be in memory."""
    return replace(shard, notes=ReadNotes.of_json(shard.notes).first().to_json(), pieces=[])
