"""Parts cut into smaller ones, so that several processes read a corpus and none of them reads what another one does."""

from collections.abc import Iterator
from dataclasses import replace

from phf.corpus.formats.parquet_rows import RowSpan, group_sizes
from phf.corpus.formats.stored import is_url
from phf.corpus.sources.listing import ListedFile
from phf.corpus.sources.parts import Part


def divided(part: Part, num_bytes: int) -> Iterator[Part]:
    """The part as several, in its order: files of it, or row groups of a local Parquet file.

    Each takes `num_bytes` or a little more on the disk; the last ones of a file or of the part may take less. Files that
    cannot be read from any place on stay whole. The documents have the same ids.
    """
    if part.kind != "records":
        yield part
        return
    files: list[ListedFile] = []
    for file in part.files:
        groups = _groups(part, file, num_bytes) if file.stored.num_bytes > num_bytes else []
        if len(groups) <= 1:
            files.append(file)
        if files and (len(groups) > 1 or sum(file.stored.num_bytes for file in files) >= num_bytes):
            yield _of_files(part, files)
            files = []
        if len(groups) > 1:
            yield from groups
    if files:
        yield _of_files(part, files)


def _groups(part: Part, file: ListedFile, num_bytes: int) -> list[Part]:
    """Consecutive row groups of a file."""
    if file.kind != "parquet" or is_url(file.stored.location):
        return []
    sizes = group_sizes(file.stored)
    on_disk = file.stored.num_bytes / max(sum(size.num_bytes for size in sizes), 1)  # bytes for one before compression
    parts: list[Part] = []
    start = row = 0
    size = 0.0
    for number, (num_rows, num_bytes_before) in enumerate(sizes, start=1):
        row += num_rows
        size += num_bytes_before * on_disk
        if size >= num_bytes or number == len(sizes):
            parts.append(replace(part, files=(file,), num_bytes=round(size), rows=RowSpan(start, row)))
            start, size = row, 0.0
    return parts


def _of_files(part: Part, files: list[ListedFile]) -> Part:
    return replace(part, files=tuple(files), num_bytes=sum(file.stored.num_bytes for file in files))
