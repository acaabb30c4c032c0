"""Finding the files of a source: records (Parquet or JSON Lines), or text."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from phf.errors import CorpusError

JOB = "job.json"
"""In a folder that `phf annotate` writes: what its shards are made of. Written first, so a folder says whose it is."""
MANIFEST = "manifest.json"
"""In a folder that `phf annotate` has finished. Written last."""
JSON_SUFFIXES = tuple(f".{kind}{how}" for kind in ("jsonl", "ndjson", "json") for how in ("", ".gz", ".zst"))
RECORD_SUFFIXES = (".parquet", *JSON_SUFFIXES)
"""A .json file is one of records where it is named, by itself or in a glob; in a folder it may be anything."""


def record_files(source: str) -> list[Path]:
    """The Parquet and JSON Lines files that `source` names, sorted; empty if it names none.

    Raises `CorpusError` for the folder of an annotation that has not come to its end.
    """
    path = Path(source)
    with reading(source):
        if path.is_file():
            candidates: Iterable[Path] = [path]
        elif path.is_dir():
            if _is_unfinished(path):
                raise CorpusError(
                    f"{source}: its annotation is unfinished. Run the same phf annotate again to finish it, or name what "
                    f"there is as '{path / '*.parquet'}'."
                )
            candidates = (p for p in path.iterdir() if p.suffix != ".json")
        else:
            candidates = _matches(source)
        return sorted(p for p in candidates if _holds_records(p) and p.is_file() and p.name[0] != ".")


def text_files(source: str) -> list[Path] | None:
    """The files of a folder, a glob (or one file) of plain text, sorted; None if `source` is something else.

    Raises `CorpusError` for a folder of little else than records in its subfolders.
    """
    path = Path(source)
    with reading(source):
        if path.is_file():
            return None if _holds_records(path) else [path]
        if record_files(source) or is_saved_dataset(source):
            return None
        if not path.is_dir():
            return sorted(p for p in _matches(source) if p.is_file()) or None
        files = sorted(_files_below(path))
        records = [p for p in files if _holds_records(p) and p.suffix != ".json"]
        if records and sum(p.stat().st_size for p in records) > sum(p.stat().st_size for p in files) / 2:
            raise CorpusError(
                f"{source}: most of it is records in its subfolders, such as {records[0]}, but it would be read as text. "
                f"Name a subfolder, or all of them by a glob like '{path / '**' / '*'}{records[0].suffix}'."
            )
        return files


def _is_unfinished(folder: Path) -> bool:
    """Whether `phf annotate` has begun in a folder and not written its manifest, which comes last."""
    begun = (folder / JOB).is_file() and any(folder.glob("shard-*.parquet"))
    return begun and not (folder / MANIFEST).is_file()


def _holds_records(path: Path) -> bool:
    return path.name.endswith(RECORD_SUFFIXES)


def _matches(pattern: str) -> Iterator[Path]:
    """Of a glob; like a shell it passes over hidden files."""
    return map(Path, glob.iglob(pattern, recursive=True))


def _files_below(folder: Path) -> Iterator[Path]:
    """All but hidden ones."""
    for name, subfolders, files in os.walk(folder, onerror=_raise):
        subfolders[:] = [subfolder for subfolder in subfolders if subfolder[0] != "."]
        yield from (path for path in (Path(name, file) for file in files if file[0] != ".") if path.is_file())


def _raise(error: OSError) -> None:
    raise error


def root_of(source: str) -> Path:
    """Of a source of text: what the names of its documents begin below."""
    path = Path(source)
    if path.is_dir():
        return path
    return path.parent if path.is_file() else Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))


@contextmanager
def reading(name: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{error.filename or name} cannot be read: {error.strerror or error}.") from error


def is_saved_dataset(source: str) -> bool:
    """Whether `source` is a folder that `datasets.save_to_disk` wrote."""
    return any((Path(source) / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
