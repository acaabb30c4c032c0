"""Scoring one piece of a corpus: the unit of work of every backend.

The scores so far are saved from time to time while a piece is being scored, so that a worker that is killed in the
middle of a slow one loses only a little.
"""

import hashlib
import json
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

from phf.annotate.corpus_piece import CorpusPiece, PieceResult, documents_sha256, encoded, read_piece
from phf.annotate.job import Job
from phf.corpus.dataset import ScoreColumn, group_by_chars, write_columns
from phf.corpus.duplicates import hash_of_text
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import Document
from phf.errors import CorpusError, PhfError, ScorerError
from phf.scorers import Scorer, checked_scores
from phf.scorers.base import fitted_reasons
from phf.scorers.composite import joined_precision
from phf.storage.files import file_sha256, write_text_atomic
from phf.storage.reading import read_json_as, typed
from phf.text import counted, visible

SECONDS_BETWEEN_SAVES = 20.0
"""Of the scores of an unfinished piece."""
MESSAGE_CHARS = 200
"""Of an error's message that is shown."""
Skipped = Mapping[int, str]
"""Number of a document in its piece -> why it is left unscored without calling the scorer again."""
logger = logging.getLogger(__name__)


def read_and_score(
    piece: CorpusPiece,
    job: Job,
    scorers: Mapping[str, Scorer],
    *,
    skipped: Skipped | None = None,
    one_by_one: bool = False,
    has_read: Callable[[], None] = lambda: None,
    at: Callable[[int | None], None] = lambda number: None,
) -> PieceResult:
    """The result of a piece: the finished one, if there is one for the same documents, or a new one.

    `has_read`: called when the documents have been read. See `score_piece` for the rest.
    """
    documents, notes = read_piece(piece, job.options, job.is_strict)
    has_read()
    earlier = _finished_piece(job.pieces, piece.name, scorers)
    if earlier is not None and earlier.documents_sha256 == documents_sha256(documents, encoded(documents)):
        return replace(earlier, notes=notes.to_json(), id_hashes=_id_hashes(documents))
    return score_piece(
        piece.name,
        documents,
        scorers,
        job.segmenter,
        job.pieces,
        notes=notes,
        skipped=skipped,
        one_by_one=one_by_one,
        at=at,
    )


def score_piece(
    name: str,
    documents: Sequence[Document],
    scorers: Mapping[str, Scorer],
    segmenter: str,
    folder: Path,
    *,
    notes: ReadNotes | None = None,
    skipped: Skipped | None = None,
    one_by_one: bool = False,
    at: Callable[[int | None], None] = lambda number: None,
) -> PieceResult:
    """Score documents and write them to `folder`: NAME.parquet, unless there are none.

    Args:
        scorers: column of scores -> scorer; the first column is `scores`.
        notes: what was not read among the documents.
        skipped: documents that are not to be scored.
        one_by_one: never give a scorer more than one document at a time.
        at: called with the number of the document that is about to be scored, and with None after the last one.

    A scorer that raises on a document leaves it unscored, and the reason is counted. Raises `ScorerError` if a
    scorer breaks its contract.
    """
    precision = joined_precision(scorers.values())
    contents = encoded(documents)
    identity = documents_sha256(documents, contents)
    saved = _SavedScores(folder / f"{name}.scores.json", [identity, precision, segmenter])
    reasons: Counter[str] = Counter()
    texts = [segment(document.text, segmenter) for document in documents]
    columns: dict[str, ScoreColumn] = {}
    for column, scorer in scorers.items():
        scores = _Scores(column, scorer, texts, saved)
        scores.score(dict(skipped or {}), one_by_one, at)
        columns[column] = ScoreColumn.of(scores.scores)
        own = scores.reasons + scorer.unscored
        reasons.update(fitted_reasons(own, columns[column].num_unscored, f"{scorer.name} gave no reason"))
    at(None)
    path = folder / f"{name}.parquet"
    if documents:
        write_columns(path, documents, texts, columns, contents, are_lines=segmenter == "lines")
    result = PieceResult(
        name=name,
        num_documents=len(documents),
        num_chars=sum(len(document.text) for document in documents),
        num_text_bytes=sum(map(len, contents)),
        num_segments=sum(map(len, texts)),
        num_unscored=sum(scores.num_unscored for scores in columns.values()),
        reasons=dict(sorted(reasons.items())),
        documents_sha256=identity,
        sha256=file_sha256(path) if documents else "",
        precision=precision,
        notes=(notes or ReadNotes()).to_json(),
    )
    write_text_atomic(folder / f"{name}.json", json.dumps(vars(result), ensure_ascii=False) + "\n", sync=False)
    saved.delete()
    return replace(result, id_hashes=_id_hashes(documents))


def _id_hashes(documents: Sequence[Document]) -> list[int]:
    return [hash_of_text(document.id) for document in documents]


def _finished_piece(folder: Path, name: str, scorers: Mapping[str, Scorer]) -> PieceResult | None:
    """The result of a piece that is in `folder` already, whole and scored in the precision of `scorers`; None if there is
    none."""
    path, counts = folder / f"{name}.parquet", folder / f"{name}.json"
    if not counts.is_file():
        return None
    from phf.storage.shapes import NotesParts  # with pydantic, a tenth of what a worker needs to start

    try:
        result: PieceResult = read_json_as(PieceResult, counts, CorpusError, finite=True)
        typed(NotesParts, result.notes, str(counts), CorpusError)
    except CorpusError:
        return None  # cut off when the machine lost power
    if result.precision != joined_precision(scorers.values()):
        return None
    is_whole = not result.num_documents or (path.is_file() and file_sha256(path) == result.sha256)
    return result if is_whole else None


class _SavedScores:
    """The scores of an unfinished piece, in a file, as they were a little while ago."""

    def __init__(self, path: Path, identity: list[str]) -> None:
        self._path = path
        self._identity = identity
        """What the scores are of, and in which precision."""
        self._columns: dict[str, Any] = {}
        self._last = time.monotonic()
        self._is_there = path.is_file()
        if self._is_there:
            try:
                saved = read_json_as(dict[str, Any], path, CorpusError)
            except CorpusError:
                return  # cut off when the machine lost power
            columns = saved.get("columns")
            if saved.get("identity") == identity and saved.get("sha256") == _sha256(columns):
                self._columns = columns

    def of(self, column: str) -> dict[str, Any]:
        """What was saved of a column: number of a document -> scores, and reasons; empty if nothing was."""
        values: dict[str, Any] = self._columns.get(column, {})
        return values

    def save_if_due(self, column: str, scores: "_Scores") -> None:
        """Save the scores of a column, if they were last saved long enough ago."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_SAVES:
            return
        self._last = now
        self._columns[column] = {
            "scores": {str(number): scores.scores[number] for number in scores.done},
            "reasons": dict(scores.reasons),
            "unscored": dict(scores.scorer.unscored),
        }
        saved = {"identity": self._identity, "sha256": _sha256(self._columns), "columns": self._columns}
        content = json.dumps(saved, ensure_ascii=False)
        write_text_atomic(self._path, content, sync=False)
        self._is_there = True

    def delete(self) -> None:
        """The piece is finished."""
        if self._is_there:
            self._path.unlink(missing_ok=True)


def _sha256(columns: Any) -> str:
    """Of saved scores, so that damaged ones are not used."""
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


class _Scores:
    """Scores of the segments of each document, by one scorer."""

    def __init__(self, column: str, scorer: Scorer, documents: list[list[str]], saved: _SavedScores) -> None:
        self.scorer = scorer
        self.reasons: Counter[str] = Counter()
        self.scores: list[list[float | None]] = [[]] * len(documents)
        self.done: list[int] = []
        """Numbers of the documents that the scorer has seen."""
        self._column, self._documents, self._saved = column, documents, saved

    def score(self, skipped: dict[int, str], one_by_one: bool, at: Callable[[int | None], None]) -> None:
        scorer, documents = self.scorer, self._documents
        scorer.unscored.clear()
        if before := self._saved.of(self._column):
            self.reasons.update(before["reasons"])
            scorer.unscored.update(before["unscored"])
            self.done = [int(number) for number in before["scores"]]
            for number in self.done:
                self.scores[number] = before["scores"][str(number)]
        is_done = set(self.done)
        skipped = {number: reason for number, reason in skipped.items() if number not in is_done}
        to_score = [n for n, segments in enumerate(documents) if segments and n not in skipped and n not in is_done]
        scores_many = type(scorer).score_documents is not Scorer.score_documents
        batch_chars = scorer.batch_chars if scores_many and not one_by_one else 0
        for batch in group_by_chars(
            to_score, lambda number: sum(map(len, documents[number])) if batch_chars else 0, batch_chars
        ):
            at(batch[0])
            for number, score in zip(
                batch, try_scoring(scorer, [documents[n] for n in batch], self.reasons), strict=True
            ):
                self.scores[number] = score
            self.done += batch
            self._saved.save_if_due(self._column, self)
        for number, reason in skipped.items():  # last: what is saved before is of documents that were scored
            self.scores[number] = [None] * len(documents[number])
            self.reasons[reason] += len(documents[number])


_reported: set[str] = set()
"""Reasons that this process has explained: the author of a scorer needs to see an error, but not a million times."""


def _described(error: Exception) -> str:
    """Message and place of an error, in one line; the message may quote a document."""
    summary = traceback.TracebackException.from_exception(error)  # whose str works even where the error's own raises
    place = summary.stack[-1]
    return (
        f"{visible(str(summary), MESSAGE_CHARS)} ({place.filename}, line {place.lineno}). Such documents stay unscored."
    )


def try_scoring(scorer: Scorer, documents: list[list[str]], reasons: Counter[str]) -> list[list[float | None]]:
    """Scores of a batch; when it raises, its documents one by one, so that only the guilty one goes unscored.

    `reasons` is updated. Raises `ScorerError` if the scorer breaks its contract.
    """
    before = dict(scorer.unscored)
    try:
        answer = scorer.score_documents(documents)
    except PhfError:
        raise  # what a user can put right is not the document's fault
    except Exception as error:  # noqa: BLE001 - a scorer may be anyone's code, and one document must not end the job
        scorer.unscored.clear()  # not replaced: a scorer of a user's own goes on counting in its own
        scorer.unscored.update(before)
        if len(documents) > 1:
            return [scores for document in documents for scores in try_scoring(scorer, [document], reasons)]
        reason = f"{scorer.name} raised {type(error).__name__}"
        if reason not in _reported:
            _reported.add(reason)
            logger.warning("%s: %s", reason, _described(error))
        reasons[reason] += len(documents[0])
        return [[None] * len(documents[0])]
    if not isinstance(answer, Sized) or len(answer) != len(documents):  # whatever the annotation says
        what = (
            f"scores of {counted(len(answer), 'document')}"
            if isinstance(answer, Sized)
            else f"a {type(answer).__name__}"
        )
        raise ScorerError(f"{scorer.name}: score_documents returned {what} for {counted(len(documents), 'document')}.")
    return [checked_scores(scorer, scores, len(segments)) for segments, scores in zip(documents, answer, strict=True)]
