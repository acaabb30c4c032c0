"""The corpus of a job as shards to score, with how far scoring is and what was not read."""

from collections.abc import Iterable, Iterator

from phf.annotate.backends.local import Job
from phf.annotate.shard import ShardTask, shard_tasks
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.sources.documents import Document, DocumentReader
from phf.corpus.sources.parts import Corpus, Part


class CorpusReading:
    """The parts of a corpus, read one after the other, and how far scoring is."""

    def __init__(self, job: Job, corpus: Corpus) -> None:
        self.parts = corpus.parts
        self.notes = ReadNotes()
        """What was not read."""
        self.notes.update(corpus.notes)
        self._job = job
        self._reader: DocumentReader | None = None
        self._bytes_done = 0
        self._read = self._scored = 0  # characters

    def tasks(self) -> Iterator[ShardTask]:
        for number, part in enumerate(self.parts):
            self._reader = DocumentReader(part, self._job.options, is_strict=self._job.is_strict)
            yield from shard_tasks(number, self._counted(self._reader), is_last_part=number + 1 == len(self.parts))
            self.notes.update(self._reader.notes)
            self._reader = None
            self.part_done(part)

    def _counted(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self._read += len(document.text)
            yield document

    def part_done(self, part: Part) -> None:
        """All of it was read."""
        self._bytes_done += part.num_bytes or 0

    def scored(self, num_chars: int) -> None:
        """A shard of so many characters is done."""
        self._scored += num_chars

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
        """Share of the corpus that has been scored, in [0, 1]; None where its size is not known.

        What has been read is known in bytes; what of that has been scored, in characters.
        """
        sizes = [part.num_bytes for part in self.parts]
        if None in sizes or not sum(size or 0 for size in sizes):
            return None
        current = 0.0 if self._reader is None else self._reader.fraction * (self._reader.part.num_bytes or 0)
        share_read = (self._bytes_done + current) / sum(size or 0 for size in sizes)
        return share_read * min(self._scored / self._read, 1.0) if self._read else share_read
