"""Sources of documents: whatever a corpus or a dataset may be named as.

A Hub name or saved `datasets` folder; a file, folder or glob of Parquet or JSON Lines (plain, .gz, .zst); a file,
folder or glob of text or source code; `python-stdlib`. What exists on disk wins over a Hub name. Records hold raw
documents (`text`) or annotated ones (`texts`, `scores`).
"""

import codecs
import hashlib
import os
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.data import stdlib
from phf.data.jsonlines import ReadProgress, ignore_progress, read_json_lines
from phf.data.listing import (
    JSON_SUFFIXES,
    RECORD_SUFFIXES,
    is_saved_dataset,
    reading,
    record_files,
    root_of,
    text_files,
)
from phf.errors import CorpusError
from phf.reading import parse_json, without_surrogates

PYTHON_STDLIB = "python-stdlib"


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
            root = root_of(source)
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
            meta = without_surrogates(parse_json(meta, "meta"))
        except CorpusError:
            return {"meta": meta}
    if meta is None:
        return {}
    return meta if isinstance(meta, dict) else {"meta": meta}


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
    with reading(path):
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
