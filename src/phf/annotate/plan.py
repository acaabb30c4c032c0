"""The remaining work of a job, part by part, and its progress."""

from collections import Counter
from collections.abc import Iterator

from phf.annotate.corpus_piece import CorpusPiece, PieceResult
from phf.annotate.job import Job
from phf.annotate.precision import check_precision
from phf.annotate.shard_writer import ShardWriter
from phf.annotate.shards import ShardResult, Step, finished_shards, part_identity, steps_of
from phf.corpus.sources.parts import Part

TOTALS = ("num_documents", "num_chars", "num_unscored")
"""Counts that are summed over pieces and shards."""


class Plan:
    """The parts of a corpus, what is finished of them, and the shards that are made from the rest.

    `precision`: what finished shards must have been scored in; None: any.
    """

    def __init__(self, job: Job, parts: list[Part], precision: str | None) -> None:
        self.job = job
        self.parts = parts
        self.precision = precision
        self.writer = ShardWriter(job, [part_identity(job, p, is_last=self.is_last(n)) for n, p in enumerate(parts)])
        self.totals: Counter[str] = Counter(dict.fromkeys(TOTALS, 0))
        """Counts of everything that has been scored."""
        self._precision: str | None = None
        """The precision of the first result."""
        self._num_bytes = 0.0
        """Bytes of the sources that have been scored."""

    def is_last(self, number: int) -> bool:
        """Whether it is the last part of the corpus."""
        return number + 1 == len(self.parts)

    def finished(self, number: int) -> list[ShardResult]:
        """Shards of a part that do not have to be rebuilt."""
        part = self.parts[number]
        return finished_shards(self.job, number, part, self.precision, is_last=self.is_last(number))

    def steps(self, number: int, finished: list[ShardResult]) -> Iterator[Step]:
        """The contents of a part, from its start to its end."""
        return steps_of(self.job, number, self.parts[number], finished, is_last=self.is_last(number))

    def pieces(self) -> Iterator[CorpusPiece]:
        """The pieces that have to be scored, of all parts, in order."""
        for number in range(len(self.parts)):
            for step in self.steps(number, self.finished(number)):
                self.add(number, step)
                if isinstance(step, CorpusPiece):
                    yield step
            self.end(number)

    def add(self, number: int, step: Step) -> None:
        """Add what comes next in a part."""
        if isinstance(step, ShardResult):
            self._count(step, step.num_source_bytes)
        self.writer.add(number, step)

    def end(self, number: int) -> None:
        """Nothing more will be added to a part."""
        self.writer.end(number)

    def scored(self, piece: CorpusPiece, result: PieceResult) -> None:
        """A piece is done."""
        self._count(result, piece.num_bytes)
        self.writer.scored(piece, result)

    @property
    def fraction(self) -> float | None:
        """Share of the corpus that has been scored, in [0, 1]; None if its size is not known."""
        sizes = [part.num_bytes for part in self.parts]
        if None in sizes or not (total := sum(size or 0 for size in sizes)):
            return None
        return min(round(self._num_bytes / total, 9), 1.0)

    def _count(self, result: ShardResult | PieceResult, num_bytes: float) -> None:
        self._precision = result.precision if self._precision is None else self._precision
        check_precision(self._precision, result.precision)
        self.totals.update({key: getattr(result, key) for key in TOTALS})
        self._num_bytes += num_bytes
