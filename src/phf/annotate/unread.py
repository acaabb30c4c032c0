"""What a job did not read of its corpus: counts and the first of each in the manifest, all of it in a file next to it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from phf.annotate.job import UNREAD
from phf.annotate.shards import ShardResult
from phf.corpus.formats.row_policy import MAX_LISTED, ReadNotes
from phf.errors import CorpusError
from phf.storage.files import atomic_write
from phf.storage.reading import read_json_as
from phf.text import visible_text


def first_unread(results: Sequence[ShardResult]) -> str:
    """For a corpus without documents: how many rows were skipped, and the first of them; "" if none was."""
    notes = _first(ReadNotes(), results)
    if not notes.skipped.count:
        return ""
    first = notes.skipped.names[0]
    return f" All rows were skipped ({notes.skipped.count:,}), such as {first['where']}: {first['reason']}"


def write_unread(output: Path, listing: ReadNotes, results: Sequence[ShardResult]) -> ReadNotes:
    """Write `UNREAD` if the manifest would not list everything; what the manifest lists is returned.

    `listing`: files that were left out; `results`: in the order of the corpus.
    """
    notes = _first(listing, results)
    path = output / UNREAD
    if max([notes.skipped.count, *(files.count for files in notes.left_out.values())]) <= MAX_LISTED:
        path.unlink(missing_ok=True)
        return notes
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="replace") as file:
        for where, reason in _all(output, listing, results):
            file.write(f"{visible_text(where)}\t{visible_text(reason)}\n")
    return notes


def _first(listing: ReadNotes, results: Sequence[ShardResult]) -> ReadNotes:
    notes = ReadNotes()
    notes.update(listing)
    for result in results:
        notes.update(ReadNotes.of_json(result.notes))
        notes = notes.first()
    return notes.first()


def _all(output: Path, listing: ReadNotes, results: Sequence[ShardResult]) -> Iterator[tuple[str, str]]:
    yield from _places(listing)
    for result in results:
        if any(count for count in (result.notes["skipped"]["count"], len(result.notes["left_out"]))):
            # the file of counts next to the shard holds all of them; only the first are in memory
            counts = read_json_as(ShardResult, output / f"{result.name}.json", CorpusError)
            yield from _places(ReadNotes.of_json(counts.notes))


def _places(notes: ReadNotes) -> Iterator[tuple[str, str]]:
    for reason, files in notes.left_out.items():
        yield from ((str(name), reason) for name in files.names)
    yield from ((row["where"], row["reason"]) for row in notes.skipped.names)
