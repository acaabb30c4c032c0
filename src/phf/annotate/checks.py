"""What is checked before a job's first shard and after its last one."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from phf.annotate.job import UNREAD
from phf.corpus.duplicates import DuplicateCounter
from phf.corpus.formats.row_policy import MAX_LISTED, ReadOptions, describe_left_out, listed, no_text
from phf.corpus.manifest import Manifest
from phf.corpus.shards import MANIFEST
from phf.corpus.sources.documents import read_part
from phf.corpus.sources.parts import Corpus, Part
from phf.corpus.sources.rows import Record
from phf.errors import CorpusError, OutputError
from phf.text import counted

ROWS_LOOKED_AT = 1000


def check_columns(corpus: Corpus, options: ReadOptions) -> None:
    """Check whether the requested columns are in the first rows of a corpus: a misspelled name would leave everything out,
    or keep nothing.

    Raises `CorpusError` with the existing columns.
    """
    part = next((part for part in corpus.parts if part.kind in ("records", "saved")), None)
    columns = [*options.keep, *([] if options.text_column is None else [options.text_column])]
    if part is None or not columns:
        if columns and not any(part.kind == "hub" for part in corpus.parts):
            raise CorpusError(
                f"Text files have no columns, so there is none called {columns[0]}. Leave the option out."
            )
        return
    rows = list(islice(_rows(part, options), ROWS_LOOKED_AT))
    if not rows:
        return
    in_rows = {name for row in rows for name in row.values}
    if options.text_column is not None and options.text_column not in in_rows:
        raise CorpusError(f"{part.label}: {no_text(in_rows, options.text_column)}")
    for name in options.keep:
        if name not in in_rows:
            raise CorpusError(
                f"{part.label}: has no column '{name}', which --keep names; those of its first {counted(len(rows), 'row')} are "
                f"{listed(in_rows)}."
            )


def _rows(part: Part, options: ReadOptions) -> Iterable[Record]:
    """The readable rows; other problems are reported when they are reached."""
    return read_part(part, options.columns, bad=lambda error: None)


def count_ids(shard: Path, counter: DuplicateCounter) -> None:
    """Add the ids of a shard: documents with the id of an earlier one are held out together or not at all."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"], use_threads=False)  # few: threads take longer to start
            counter.add_all(ids.column("id").to_pylist())


def check_shards(output: Path, sizes: Mapping[str, int]) -> None:
    """Raise `OutputError` unless every shard of a job exists as it was written."""
    for name, size in sizes.items():
        path = output / name
        if not path.is_file() or path.stat().st_size != size:
            raise OutputError(
                f"{path} was written, but has been removed or changed since. Run the same command again: what exists is kept."
            )


def notices(manifest: Manifest, num_examples: int = 5) -> list[str]:
    """Lines for the user of a job: what was not read of its corpus, and duplicate ids."""
    lines = describe_left_out(manifest.left_out, num_examples)
    if count := manifest.skipped.get("count"):
        rows = manifest.skipped["rows"]
        what, place = "row or file" if count == 1 else "rows or files", MANIFEST if count <= MAX_LISTED else UNREAD
        lines.append(f"Skipped: {count:,} unreadable {what} (listed in {place}), such as:")
        lines += [f"  {row['where']}: {row['reason']}" for row in rows[:num_examples]]
    if count := manifest.num_duplicate_ids:
        lines.append(
            f"{count:,} {'document has' if count == 1 else 'documents have'} the id of an earlier one. A held-out split is "
            "chosen by id: documents with the same id are held out together, or not at all."
        )
    return lines
