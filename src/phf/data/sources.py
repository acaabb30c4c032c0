"""Sources of documents: whatever a corpus or a dataset may be named as.

A Hub name or saved `datasets` folder; a file, folder or glob of Parquet or JSON Lines (plain, .gz, .zst); a file,
folder or glob of text or source code; `python-stdlib`. What exists on disk wins over a Hub name. Records hold raw
documents (`text`) or annotated ones (`texts`, `scores`).
"""

import codecs
import glob
import hashlib
import json
import os
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from phf.data import stdlib
from phf.data.jsonlines import ReadProgress, ignore_progress, read_json_lines, without_surrogates
from phf.errors import CorpusError

PYTHON_STDLIB = "python-stdlib"
JSON_SUFFIXES = tuple(f".{kind}{how}" for kind in ("jsonl", "ndjson", "json") for how in ("", ".gz", ".zst"))
RECORD_SUFFIXES = (".parquet", *JSON_SUFFIXES)
"""A .json file is one of records where it is named, by itself or in a glob; in a folder it may be anything."""


@dataclass(frozen=True, slots=True)
class Document:
    """A raw document."""

    id: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """A document cut into segments, each with a misalignment score (higher is worse) or None where unscored."""

    id: str
    texts: list[str]
    scores: list[float | None]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def avg_score(self) -> float | None:
        """Unweighted mean over the scored segments; None if there is none."""
        return mean_score(self.scores)


def mean_score(scores: Iterable[float | None]) -> float | None:
    """Unweighted mean of the scores that are not None; None if there is none."""
    scored = [score for score in scores if score is not None]
    return sum(scored) / len(scored) if scored else None


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source as it was found, and where: `file`, `row` (0-based), for ids and error messages."""

    file: str
    row: int
    values: dict[str, Any]

    @property
    def where(self) -> str:
        is_line = self.file.endswith(JSON_SUFFIXES)
        return f"{self.file}, line {self.row + 1}" if is_line else f"{self.file}, row {self.row}"


@dataclass(frozen=True, slots=True)
class Part:
    """What is read from its start to its end by one reader: a file of records, or a whole source of another kind."""

    source: str
    file: str | None = None
    """A Parquet or JSON Lines file of `source`; None: all of `source`."""
    num_bytes: int | None = None
    """Size on disk; None where it cannot be known."""


class DocumentReader:
    """The raw documents of one part in a fixed order; annotated ones are joined.

    Raises `CorpusError` naming file and row for a record without text, broken JSON or invalid UTF-8.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.fraction = 0.0
        """How much of the part has been read, in [0, 1]; stays 0 where its size is not known."""

    def __iter__(self) -> Iterator[Document]:
        yield from self._documents()
        self.fraction = 1.0

    def _documents(self) -> Iterator[Document]:
        source = self.part.source
        if self.part.file is not None:
            for record in _read_file(Path(self.part.file), self._set_fraction):
                yield Document(record_id(record), _joined_text(record), record_meta(record))
        elif source == PYTHON_STDLIB:
            for (name, text), done in stdlib.read_files():
                self.fraction = done
                yield Document(name, text)
        elif (files := text_files(source)) is not None:
            root = _root(source)
            for number, path in enumerate(files, start=1):
                content = _read_text(path)
                self.fraction = number / len(files)
                if content is None and path == Path(source):
                    raise CorpusError(
                        f"{path}: is binary. Text is read, and records of the kinds {', '.join(RECORD_SUFFIXES)}."
                    )
                if content is not None:
                    yield Document(without_surrogates(path.relative_to(root).as_posix()), content)
        else:
            for record in _read_dataset(source):
                yield Document(record_id(record), _joined_text(record), record_meta(record))

    def _set_fraction(self, fraction: float) -> None:
        self.fraction = fraction


def parts(source: str) -> list[Part]:
    """The parts of a source, in order: one a file of records, else one in all."""
    if not is_saved_dataset(source) and source != PYTHON_STDLIB and (files := record_files(source)):
        return [Part(source, str(path), path.stat().st_size) for path in files]
    if source == PYTHON_STDLIB:
        return [Part(source, num_bytes=stdlib.num_bytes())]
    files = text_files(source) or []
    return [Part(source, num_bytes=sum(path.stat().st_size for path in files) if files else None)]


def read_documents(source: str) -> Iterator[Document]:
    """The raw documents of all parts of a source; see `DocumentReader`."""
    for part in parts(source):
        yield from DocumentReader(part)


def is_annotated(source: str) -> bool:
    """Whether the first record of a source has `texts`: already cut into segments."""
    if source == PYTHON_STDLIB or text_files(source) is not None:
        return False
    first = next(iter(read_records(source)), None)
    return first is not None and "texts" in first.values


def read_records(source: str) -> Iterator[Record]:
    """The rows of a Parquet, JSON Lines, saved or Hub dataset."""
    if is_saved_dataset(source) or not (files := record_files(source)):
        yield from _read_dataset(source)
        return
    for path in files:
        yield from _read_file(path)


def record_id(record: Record) -> str:
    """The record's own `id`, or one made of its file and row."""
    own = record.values.get("id")
    return f"{without_surrogates(Path(record.file).name)}:{record.row}" if own is None else str(own)


def record_meta(record: Record) -> dict[str, Any]:
    """`meta` as a dict, whether it was a struct, a JSON string, anything else or absent."""
    meta = record.values.get("meta")
    if isinstance(meta, str):
        try:
            meta = without_surrogates(json.loads(meta))
        except (ValueError, RecursionError):
            return {"meta": meta}
    if meta is None:
        return {}
    return meta if isinstance(meta, dict) else {"meta": meta}


def record_files(source: str) -> list[Path]:
    """The Parquet and JSON Lines files that `source` names, sorted; empty if it names none."""
    path = Path(source)
    with _reading(source):
        if path.is_file():
            candidates: Iterable[Path] = [path]
        elif path.is_dir():
            candidates = (p for p in path.iterdir() if p.suffix != ".json")
        else:
            candidates = _matches(source)
        return sorted(p for p in candidates if _holds_records(p) and p.is_file() and p.name[0] != ".")


def text_files(source: str) -> list[Path] | None:
    """The files of a folder, a glob (or one file) of plain text, sorted; None if `source` is something else.

    Raises `CorpusError` for a folder of little else than records in its subfolders.
    """
    path = Path(source)
    with _reading(source):
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


def _root(source: str) -> Path:
    """Of a source of text: what the names of its documents begin below."""
    path = Path(source)
    if path.is_dir():
        return path
    return path.parent if path.is_file() else Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))


@contextmanager
def _reading(name: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{error.filename or name} cannot be read: {error.strerror or error}.") from error


def is_saved_dataset(source: str) -> bool:
    """Whether `source` is a folder that `datasets.save_to_disk` wrote."""
    return any((Path(source) / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def fingerprint(source: str) -> str:
    """Hash of what a source is now: names, sizes and modification times of its files, or its Hub name."""
    if source == PYTHON_STDLIB:
        parts = stdlib.describe()
    else:
        files = text_files(source) or record_files(source)
        if is_saved_dataset(source):
            files = sorted(p for p in Path(source).rglob("*") if p.is_file())
        if not files:
            parts = [f"hub:{source}"]
        else:
            parts = [f"{p.resolve()}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()[:32]


def _read_file(path: Path, progress: ReadProgress = ignore_progress) -> Iterator[Record]:
    if path.name.endswith(".parquet"):
        yield from _read_parquet(path, progress)
    else:
        yield from (Record(str(path), row, values) for row, values in read_json_lines(path, progress))


def _read_parquet(path: Path, progress: ReadProgress) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                progress((row + len(batch)) / file.metadata.num_rows)
                for values in batch.to_pylist():
                    yield Record(str(path), row, values)
                    row += 1
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise CorpusError(f"{path}: is not a readable Parquet file after row {row}: {error}") from error


def _read_dataset(source: str) -> Iterator[Record]:
    """A saved dataset, or a Hub one, streamed."""
    import datasets

    try:
        if is_saved_dataset(source):
            loaded = datasets.load_from_disk(source)
            if isinstance(loaded, datasets.DatasetDict) and "train" not in loaded:
                raise CorpusError(
                    f"{source}: has the splits {', '.join(loaded)}, but no train. Name the folder of one split, e.g. "
                    f"{Path(source) / next(iter(loaded), 'train')}."
                )
            dataset = loaded["train"] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            dataset = datasets.load_dataset(source, split="train", streaming=True)
        rows = iter(dataset)
    except CorpusError:
        raise
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(
            f"'{source}' is no file, folder or glob here, nor could a Hugging Face dataset of that name be loaded "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}). "
            "Check the name and the network, or name a local source such as python-stdlib."
        ) from error
    for row, values in enumerate(rows):
        yield Record(source, row, values)


def _joined_text(record: Record) -> str:
    values = record.values
    if isinstance(values.get("text"), str):
        return values["text"]
    texts = values.get("texts")
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return "".join(texts)
    if "text" in values:
        raise CorpusError(f"{record.where}: its 'text' is {reprlib.repr(values['text'])}, not a string.")
    raise CorpusError(
        f"{record.where}: has no 'text' (string) nor 'texts' (list of strings); its keys are {sorted(values)}. "
        "Name the column that holds the text 'text'."
    )


def _read_text(path: Path) -> str | None:
    """The text of a file; None for a binary one (it has a NUL byte, and is no UTF-16)."""
    with _reading(path):
        content = path.read_bytes()
    if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}, line {line}: is not UTF-8 (byte {error.start}). Convert the file or remove it."
        ) from None
