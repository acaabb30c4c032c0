"""Sources of documents: everything that can be given as a corpus or a dataset.

A Hub name or saved `datasets` folder; a file, folder or glob of records (Parquet, JSON, CSV, Arrow, ORC), plain or
compressed, local or at a URL; a file, folder or glob of text or source code; `python-stdlib`; `python-packages`. A path on disk
takes precedence over a Hub name. Records hold raw documents (`text`) or annotated ones (`texts`, `scores`).
"""

import hashlib
import os
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from phf.corpus.formats.jsonlines import ReadProgress, ignore_progress
from phf.corpus.formats.plain_text import not_a_document, read_text
from phf.corpus.formats.row_policy import (
    BadRowError,
    Choose,
    Chosen,
    OnBad,
    ReadNotes,
    ReadOptions,
    all_columns,
    json_ready,
    no_text,
    stop,
)
from phf.corpus.formats.stored import is_url
from phf.corpus.sources import python_code
from phf.corpus.sources.hub_datasets import hub_rows
from phf.corpus.sources.listing import Listing, is_saved_dataset, is_text, list_source
from phf.corpus.sources.parts import Part, list_corpus
from phf.corpus.sources.python_code import is_python_source
from phf.corpus.sources.rows import LineSpan, Record, read_file, read_span
from phf.corpus.sources.saved_datasets import saved_rows
from phf.errors import CorpusError
from phf.storage.reading import parse_json, without_surrogates

__all__ = ["Part", "Record"]

LONGEST_DOCUMENT = 2**31 - 2**24
"""Bytes of UTF-8: text of a shard is addressed by 32 bits, and a shard may hold a little more than its last document."""


@dataclass(frozen=True, slots=True)
class Document:
    """A raw document."""

    id: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """A document cut into segments, each with a misalignment score (higher is worse) or None if unscored."""

    id: str
    texts: list[str]
    scores: list[float | None]
    meta: dict[str, Any] = field(default_factory=dict)
    more_scores: tuple[list[float | None], ...] = ()
    """The scores in other columns that were asked for."""

    @property
    def avg_score(self) -> float | None:
        """Unweighted mean over the scored segments; None if there is none."""
        return mean_score(self.scores)


def mean_score(scores: Sequence[float | None]) -> float | None:
    """Unweighted mean of the scores that are not None; None if there is none."""
    scored = [score for score in scores if score is not None] if None in scores else cast(Sequence[float], scores)
    return sum(scored) / len(scored) if scored else None


class DocumentReader:
    """The raw documents of one part in a fixed order; annotated ones are joined.

    `notes.is_strict`: a record without text, broken JSON or invalid UTF-8 raises `CorpusError` naming file and row;
    otherwise it is counted in `notes` and left out. `span`: the lines that are read, of a part of one file.
    """

    def __init__(
        self,
        part: Part,
        options: ReadOptions | None = None,
        *,
        is_strict: bool = True,
        span: LineSpan | None = None,
    ) -> None:
        self.part = part
        self.span = span
        self.fraction = 0.0
        """How much of the part has been read, in [0, 1]; stays 0 if its size is not known."""
        self.notes = ReadNotes(is_strict=is_strict)
        """The items of the part that were not read."""
        self._options = options or ReadOptions()

    def __iter__(self) -> Iterator[Document]:
        yield from self._documents()
        self.fraction = 1.0

    def _documents(self) -> Iterator[Document]:
        part = self.part
        if part.kind == "text":
            yield from self._texts()
        elif is_python_source(part.source):
            before = f"{part.name}/" if part.name else ""
            for name, text, meta, done in python_code.read_modules(part.source, self.notes.leave_out):
                self.fraction = done
                yield Document(before + name, text, meta)
        else:
            for record in self._records():
                try:
                    document = self._document(record)
                except CorpusError as error:
                    self.notes.bad(error)
                else:
                    yield document

    def _records(self) -> Iterator[Record]:
        if self.span is not None:
            (file,) = self.part.files
            return read_span(file, self.span, self.notes.bad)
        return read_part(self.part, self._options.columns, self.notes.bad, self._set_fraction, self.notes)

    def _texts(self) -> Iterator[Document]:
        files = self.part.files
        is_one = len(files) == 1 and os.path.basename(self.part.source) == files[0].stored.name
        for number, file in enumerate(files, start=1):
            try:
                text, reason = read_text(file.stored, LONGEST_DOCUMENT)
                if reason is not None and is_one:
                    raise not_a_document(file.stored, reason)
            except CorpusError as error:
                self.notes.bad(error)
                continue
            finally:
                self.fraction = number / len(files)
            if text is None:
                self.notes.leave_out(file.name, str(reason))
            else:
                yield Document(file.name, text)

    def _document(self, record: Record) -> Document:
        document = Document(record_id(record), _text(record, self._options), record_meta(record, self._options.keep))
        if len(document.text) > LONGEST_DOCUMENT // 4 and len(document.text.encode()) > LONGEST_DOCUMENT:
            raise BadRowError(record.where, f"its text is longer than {LONGEST_DOCUMENT:,} bytes.")
        return document

    def _set_fraction(self, fraction: float) -> None:
        self.fraction = fraction


def parts(source: str) -> list[Part]:
    """The parts of a source, in order: files of records, or all of it."""
    return list_corpus([source]).parts


def read_documents(source: str) -> Iterator[Document]:
    """The raw documents of all parts of a source; see `DocumentReader`."""
    for part in parts(source):
        yield from DocumentReader(part)


def is_annotated(source: str) -> bool:
    """Whether the first record of a source has `texts`, so is already cut into segments."""
    if is_python_source(source) or is_text(source):
        return False
    first = next(iter(read_records(source, lambda names: Chosen([], list(names)[:1]))), None)
    return first is not None and "texts" in first.columns


def read_records(source: str, choose: Choose = all_columns, bad: OnBad = stop) -> Iterator[Record]:
    """The rows of a source of records, with the columns that `choose` takes, at least; `bad`: see `read_file`."""
    if is_python_source(source) or is_text(source):
        raise CorpusError(f"{source} is text, not records. Give a file, folder or glob of records.")
    for part in parts(source):
        yield from read_part(part, choose, bad)


def read_part(
    part: Part,
    choose: Choose,
    bad: OnBad = stop,
    progress: ReadProgress = ignore_progress,
    notes: ReadNotes | None = None,
) -> Iterator[Record]:
    """The rows of a part of records, or of a dataset; `progress` is called with the share of all its files."""
    if not part.files:
        names: list[str] = []

        def choosing(known: Sequence[str]) -> Chosen:
            names[:] = known if len(known) > len(names) else names  # batches contain only the chosen columns
            return choose(known)

        is_saved = part.kind == "saved"
        numbered_rows = (
            saved_rows(part.source, choosing, bad, notes or ReadNotes())
            if is_saved
            else hub_rows(part.source, choosing, bad)
        )
        yield from (Record(part.source, row, values, None, part.name, names) for row, values in numbered_rows)
        return
    num_bytes, done = max(part.num_bytes or 0, 1), 0
    for file in part.files:
        start, size = done / num_bytes, file.stored.num_bytes / num_bytes
        of_file: ReadProgress = lambda share, a=start, b=size: progress(a + b * share)  # type: ignore[misc] # noqa: E731
        yield from read_file(file, choose, bad, of_file, part.rows)
        done += file.stored.num_bytes


def record_id(record: Record) -> str:
    """The record's own `id`, or one made from its file and row if it has none."""
    own = record.values.get("id")
    if own is None or own == "" or own != own:  # NaN, which some writers use for missing values
        return f"{record.name}:{record.row}"
    return own.decode("utf-8", "replace") if isinstance(own, bytes) else str(own)


def record_meta(record: Record, keep: Sequence[str] = ()) -> dict[str, Any]:
    """`meta` as a dict that JSON can hold, whether it was a struct, a map, a JSON string, anything else or absent.

    `keep`: additional columns, which replace keys of the same name.
    """
    meta = record.values.get("meta")
    if isinstance(meta, str):
        with suppress(CorpusError):
            meta = without_surrogates(parse_json(meta, "meta"))
    values = json_ready(meta)
    if meta is None:
        values = {}
    elif not isinstance(values, dict):
        values = {"meta": values}
    for name in keep:
        if name in record.values:
            values[name] = json_ready(record.values[name])
    return values


def fingerprint(source: str, options: ReadOptions | None = None, listing: Listing | None = None) -> str:
    """Hash of the current state of a source: names, sizes and modification times of its files, or its Hub name.

    `listing`: what `list_source` gives for it, if it is at hand.
    """
    if is_python_source(source):
        described = python_code.describe(source)
    elif not is_url(source) and is_saved_dataset(source):
        files = sorted(path for path in Path(source).rglob("*") if path.is_file())
        described = [f"{p.resolve()}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in files]
    else:
        listing = listing or list_source(source, options)
        folders: dict[str, str] = {}
        described = [f"hub:{source}"] if listing is None else [file.stored.identity(folders) for file in listing.files]
    return hashlib.sha256(os.fsencode("\n".join(described))).hexdigest()[:32]


def _text(record: Record, options: ReadOptions) -> str:
    values = record.values
    if options.text_column is None and type(text := values.get("text")) is str:
        return text  # as the general rules below would, for nearly every row
    try:
        names = options.text_columns(values)
    except CorpusError as error:
        raise BadRowError(record.where, str(error)) from None
    for name in names:
        value = values[name]
        if isinstance(value, str):
            return value
        if name != "text" and isinstance(value, list) and all(isinstance(text, str) for text in value):
            return "".join(value)
    if not names or names == ["texts"]:
        raise BadRowError(record.where, no_text(record.columns, options.text_column))
    raise BadRowError(record.where, f"its '{names[0]}' is {reprlib.repr(values[names[0]])}, not a string.")
