"""The documents of an annotated dataset: Parquet shards in the schema of the paper's published datasets."""

import json
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from phf.corpus.columns import floats, integers, line_lists, lists, string_lists, strings
from phf.corpus.formats.row_policy import Chosen
from phf.corpus.sources.documents import (
    AnnotatedDocument,
    Document,
    Record,
    mean_score,
    parts,
    read_part,
    read_records,
    record_id,
    record_meta,
)
from phf.corpus.sources.listing import is_text
from phf.corpus.sources.parts import Part
from phf.corpus.sources.python_code import is_python_source
from phf.corpus.sources.rows import LineSpan, read_span
from phf.errors import CorpusError
from phf.storage.files import atomic_write
from phf.text import counted

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_TEXT, _SCORE = frozenset((str,)), frozenset((float, NoneType))
MAX_SCORE = 3.4028234663852886e38
"""Of float32, which scores are stored and compared in."""
BATCH_CHARS = 2**20
"""Characters of documents that are worked on together."""


Scores = Sequence[float | None]
_meta_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


def write_shard(
    path: Path, documents: Sequence[AnnotatedDocument], more_scores: Mapping[str, Sequence[Scores]] | None = None
) -> None:
    """Write annotated documents as one Parquet shard; see `write_columns`.

    `more_scores`: those of further scorers, column ("pii_scores") -> scores of the segments of each document.
    """
    scores = {"scores": [document.scores for document in documents], **(more_scores or {})}
    columns = {name: ScoreColumn.of(of_column) for name, of_column in scores.items()}
    write_columns(path, documents, [document.texts for document in documents], columns)


@dataclass(frozen=True)
class ScoreColumn:
    """The scores of one scorer."""

    documents: Sequence[Scores]
    """Of the segments of each document."""
    segments: "pa.FloatArray"
    """Of all segments."""

    @classmethod
    def of(cls, documents: Sequence[Scores]) -> "ScoreColumn":
        """Raises `ScorerError` for a score beyond the range of float32."""
        return cls(documents, floats(list(chain.from_iterable(documents))))

    @property
    def num_unscored(self) -> int:
        """Segments without a score."""
        return int(self.segments.null_count)

    def averages(self) -> list[float | None]:
        """`mean_score` of each document."""
        if self.num_unscored:
            return [mean_score(scores) for scores in self.documents]
        return [sum(scores) / len(scores) if scores else None for scores in self.documents]  # type: ignore[arg-type]


def write_columns(
    path: Path,
    documents: Sequence[Document | AnnotatedDocument],
    texts: Sequence[Sequence[str]],
    scores: Mapping[str, ScoreColumn],
    contents: Sequence[bytes] | None = None,
    *,
    are_lines: bool = False,
) -> None:
    """Write one Parquet shard atomically, without waiting for the disk; the same documents give the same bytes.

    `texts`: segments of each document; `scores`: the first column is `scores`; `contents`: the UTF-8 of each document's
    text, if known; `are_lines`: whether the segments are lines, so that every newline ends one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lengths = np.fromiter(map(len, texts), np.int32, len(texts))
    first, *others = scores
    columns = {
        "id": strings([document.id for document in documents]),
        "texts": string_lists(texts, contents) if contents is None or not are_lines else line_lists(texts, contents),
        **_score_columns(first, scores[first], lengths),
        "num_sents": integers(lengths),
        "meta": strings([_meta_json(document.meta) if document.meta else "{}" for document in documents]),
    }
    for name in others:
        columns |= _score_columns(name, scores[name], lengths)
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    # few scores are distinct, but nearly all segments are; and nobody searches for segments by their lowest and highest
    repetitive = [f"{name}.list.element" for name in scores]
    with atomic_write(path, sync=False) as partial:
        pq.write_table(
            table,
            partial,
            compression="zstd",
            use_dictionary=repetitive,
            write_statistics=["id", "num_sents", *(n for n in columns if n.endswith("avg_score")), *repetitive],
            row_group_size=max(len(documents), 1),
        )


def _score_columns(name: str, scores: ScoreColumn, lengths: np.ndarray) -> dict[str, "pa.Array"]:
    """Scores of each document, and their mean: "pii_scores" comes with "pii_avg_score"."""
    average = f"{name.removesuffix('scores')}avg_score"
    return {name: lists(scores.segments, lengths), average: floats(scores.averages())}


def read_annotated(
    source: str,
    scores_column: str = "scores",
    its_parts: Sequence[Part] | None = None,
    span: LineSpan | None = None,
    more_columns: Sequence[str] = (),
) -> Iterator[AnnotatedDocument]:
    """The annotated documents of a source, validated row by row.

    `scores_column` names the scores of another scorer, e.g. "pii_scores"; other columns than these, `texts`, `id` and
    `meta` are not read. `its_parts`: of the source, with the names that ids are made of; `span`: the lines that are read, of
    one part of one file; `more_columns`: those of `more_scores`. Raises `CorpusError` naming file and row for a missing column,
    `texts` and scores of different lengths, or a score that is not a finite number or null.
    """
    if is_python_source(source) or is_text(source):
        raise CorpusError(f"{source} is raw text, without scores; annotate the corpus first (phf annotate).")

    def choose(names: Sequence[str]) -> Chosen:
        columns = Chosen(["texts", scores_column, *more_columns], ["id", "meta"])
        chosen = Chosen(*([name for name in some if name in names] for some in columns))
        return chosen if any(chosen) else Chosen([], list(names)[:1])

    for part in parts(source) if its_parts is None else its_parts:
        for record in read_part(part, choose) if span is None else read_span(part.files[0], span):
            texts = record.values.get("texts")
            if not isinstance(texts, list):
                raise CorpusError(f"{record.where}: has no 'texts'; annotate the corpus first (phf annotate).")
            scores, *more = [_scores(record, texts, column) for column in (scores_column, *more_columns)]
            yield AnnotatedDocument(record_id(record), texts, scores, record_meta(record), tuple(more))


def _scores(record: Record, texts: list[Any], column: str) -> list[Any]:
    """The scores of a record's segments, validated."""
    scores = record.values.get(column)
    if not isinstance(scores, list):
        if column not in record.columns:
            raise _no_scores(record, column)
        raise CorpusError(
            f"{record.where}: '{column}' is {reprlib.repr(scores)}; a list with a score or null for each of its texts was "
            "expected."
        )
    if not _are_plain(texts, scores):
        _check(record, texts, scores, column)
    return scores


def check_scores(source: str, scores_column: str, key: str = "dataset.scores_column") -> None:
    """Check that the first record of a source has the scores that training needs, before anything expensive is done.

    A raw source, which is annotated first, gets the column `scores` and no other. Raises `CorpusError`, which says which `key`
    of the configuration names the column.
    """
    is_records = not is_python_source(source) and not is_text(source)
    records = read_records(source, lambda names: Chosen([], list(names)[:1])) if is_records else iter(())
    first = next(iter(records), None)
    if first is not None and "texts" in first.columns:
        if scores_column not in first.columns:
            raise _no_scores(first, scores_column, key)
    elif scores_column != "scores":
        raise CorpusError(
            f"{source} is raw text: annotating it makes the column 'scores', but {key} is '{scores_column}'. Leave "
            "scores_column out, or make that column first (phf annotate with several --scorer)."
        )


def has_score_above(source: str, scores_column: str, threshold: float) -> bool:
    """Whether a segment of an annotated source has a higher score; nothing else of it is read, and nothing behind it."""
    for record in read_records(source, lambda names: Chosen([name for name in names if name == scores_column], [])):
        scores = record.values.get(scores_column)
        if not isinstance(scores, list):
            raise _no_scores(record, scores_column)
        if any(type(score) in (int, float) and score > threshold for score in scores):
            return True
    return False


def _no_scores(record: Record, scores_column: str, key: str = "dataset.scores_column") -> CorpusError:
    columns = sorted(key for key in record.columns if key.endswith("scores"))
    columns_there = (
        f"Columns of scores there: {', '.join(columns)}" if columns else "There are no columns of scores there"
    )
    return CorpusError(
        f"{record.where}: has no '{scores_column}'. {columns_there}; set {key} (phf profile: "
        "--scores-column), or annotate the corpus first (phf annotate)."
    )


def in_batches(
    documents: Iterable[AnnotatedDocument], batch_chars: int = BATCH_CHARS
) -> Iterator[list[AnnotatedDocument]]:
    """Consecutive documents in batches of a number of characters; empty ones count a little."""
    return group_by_chars(documents, lambda document: 1 + sum(map(len, document.texts)), batch_chars)


def group_by_chars(items: Iterable[T], chars_of: Callable[[T], int], group_chars: int) -> Iterator[list[T]]:
    """Consecutive items in batches of a number of characters; 0: one at a time."""
    group: list[T] = []
    num_chars = 0
    for item in items:
        group.append(item)
        num_chars += chars_of(item)
        if num_chars >= group_chars:
            yield group
            group, num_chars = [], 0
    if group:
        yield group


def _are_plain(texts: list[Any], scores: list[Any]) -> bool:
    """Whether `_check` certainly passes, as it does for nearly every document: found out without a loop over segments."""
    if len(texts) != len(scores) or not _TEXT.issuperset(map(type, texts)):
        return False
    types = set(map(type, scores))
    scored = [score for score in scores if score is not None] if NoneType in types else scores
    # what is not finite makes the sum so, too
    return types <= _SCORE and sum(map(abs, scored)) <= MAX_SCORE


def _check(record: Record, texts: list[Any], scores: list[Any], column: str) -> None:
    if len(texts) != len(scores):
        raise CorpusError(
            f"{record.where}: {counted(len(texts), 'text')} but {len(scores)} {column}; each segment needs a score or null."
        )
    for index, (text, score) in enumerate(zip(texts, scores, strict=True)):
        if not isinstance(text, str):
            raise CorpusError(f"{record.where}: texts[{index}] is {text!r}, not text.")
        is_number = isinstance(score, int | float) and not isinstance(score, bool) and -MAX_SCORE <= score <= MAX_SCORE
        if score is not None and not is_number:
            raise CorpusError(
                f"{record.where}: {column}[{index}] is {reprlib.repr(score)}. A score is a finite number (float32); "
                "unscored is null."
            )
