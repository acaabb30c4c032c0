"""The corpus of a job as shards to score, with how far reading is and what was not read."""

from collections.abc import Iterator

from phf.annotate.local import Job
from phf.annotate.shard import ShardTask, shard_tasks
from phf.data.parts import Corpus, Part
from phf.data.row_policy import ReadNotes
from phf.data.sources import DocumentReader


class CorpusReading:
    """The parts of a corpus, read one after the other, and how far reading is."""

    def __init__(self, job: Job, corpus: Corpus) -> None:
        self.parts = corpus.parts
        self.notes = ReadNotes()
        """What was not read."""
        self.notes.update(corpus.notes)
        self._job = job
        self._reader: DocumentReader | None = None
        self._bytes_done = 0

    def tasks(self) -> Iterator[ShardTask]:
        for number, part in enumerate(self.parts):
            self._reader = DocumentReader(part, self._job.options, is_strict=self._job.is_strict)
            yield from shard_tasks(number, self._reader, is_last_part=number + 1 == len(self.parts))
            self.notes.update(self._reader.notes)
            self._reader = None
            self.part_done(part)

    def part_done(self, part: Part) -> None:
        self._bytes_done += part.num_bytes or 0

    def why(self) -> str:
        """Of a corpus without documents: the first row that was skipped."""
        if not self.notes.skipped.count:
            return ""
        first = self.notes.skipped.names[0]
        return (
            f" All of its {self.notes.skipped.count:,} rows were skipped, such as {first['where']}: {first['reason']}"
        )

    @property
    def fraction(self) -> float | None:
        sizes = [part.num_bytes for part in self.parts]
        if None in sizes or not sum(size or 0 for size in sizes):
            return None
        current = 0.0 if self._reader is None else self._reader.fraction * (self._reader.part.num_bytes or 0)
        return (self._bytes_done + current) / sum(size or 0 for size in sizes)
