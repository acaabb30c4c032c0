"""Scoring one shard: the unit of work of every backend, and of resume."""

import hashlib
import json
import logging
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

from phf.corpus.dataset import group_by_chars, write_shard
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import AnnotatedDocument, Document
from phf.errors import CorpusError, PhfError, ScorerError
from phf.scorers import Scorer, checked_scores
from phf.scorers.base import fitted_reasons
from phf.scorers.composite import joined_precision
from phf.storage.files import file_sha256, write_json_atomic
from phf.storage.reading import read_json_as
from phf.text import visible

SHARD_DOCUMENTS = 1000
SHARD_CHARS = 1_000_000
LAST_SHARDS = 4
"""At the end of a corpus a shard is this fraction of what is left, so that all workers end at about the same time, ..."""
LEAST_SHARD_CHARS = 125_000
"""... but no smaller."""

logger = logging.getLogger(__name__)

MESSAGE_CHARS = 200
"""Of an error's message that is shown."""

Skipped = Mapping[int, str]
"""Number of a document in its shard -> why it is left unscored without asking the scorer again."""


@dataclass(frozen=True)
class ShardTask:
    """Consecutive documents of one part, and the name of the file that they become."""

    name: str
    documents: list[Document]

    def fingerprint(self) -> str:
        """Hash of the documents: a shard that was made of the same ones need not be made again."""
        heads = [[document.id, document.meta, len(document.text)] for document in self.documents]
        digest = hashlib.sha256(json.dumps(heads, default=str).encode())  # what comes to a worker in JSON is the same
        digest.update("".join(document.text for document in self.documents).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


@dataclass(frozen=True)
class ShardResult:
    """What is in a finished shard."""

    name: str
    num_documents: int
    num_chars: int
    num_segments: int
    num_unscored: int
    """Unscored segments, over all scorers."""
    reasons: dict[str, int]
    documents_sha256: str
    """`ShardTask.fingerprint` of what it was made of."""
    sha256: str
    """Of the file."""
    precision: str = ""
    """`Scorer.precision` of its scorers."""


def shard_tasks(part_number: int, documents: Iterable[Document], *, is_last_part: bool) -> Iterator[ShardTask]:
    """The shards of one part of a corpus; those at the end of its last part are smaller and smaller.

    Where they are cut depends on nothing but the corpus, so their names can be told again.
    """
    shard: list[Document] = []
    num_chars = number = 0
    enough = SHARD_CHARS
    for document, chars_left in _with_chars_left(documents, LAST_SHARDS if is_last_part else 0):
        if not shard and chars_left is not None:
            enough = min(SHARD_CHARS, max(chars_left // LAST_SHARDS, LEAST_SHARD_CHARS))
        shard.append(document)
        num_chars += len(document.text)
        if len(shard) == SHARD_DOCUMENTS or num_chars >= enough:
            yield ShardTask(shard_name(part_number, number), shard)
            shard, num_chars, number = [], 0, number + 1
    if shard:
        yield ShardTask(shard_name(part_number, number), shard)


def _with_chars_left(documents: Iterable[Document], shards_ahead: int) -> Iterator[tuple[Document, int | None]]:
    """Each document with the characters from it to the end; None where these are more than so many shards'."""
    read: deque[Document] = deque()
    num_chars = 0
    for document in documents:
        read.append(document)
        num_chars += len(document.text)
        while read and (num_chars > shards_ahead * SHARD_CHARS or len(read) > shards_ahead * SHARD_DOCUMENTS):
            num_chars -= len(read[0].text)
            yield read.popleft(), None
    while read:
        yield read[0], num_chars
        num_chars -= len(read.popleft().text)


def shard_name(part_number: int, number: int) -> str:
    """Names sort as the documents do."""
    return f"shard-{part_number:05d}-{number:06d}.parquet"


def finished_shard(output: Path, task: ShardTask, precision: str = "") -> ShardResult | None:
    """The result of a shard that is in `output` already, whole and of the same documents; None if it has to be scored.

    `precision`: what it must have been scored in.
    """
    path, counts = output / task.name, output / f"{task.name}.json"
    if not (path.is_file() and counts.is_file()):
        return None
    try:
        result = read_json_as(ShardResult, counts, CorpusError, finite=True)
    except CorpusError:
        return None  # cut off when the machine lost power
    if result.precision != precision:
        return None
    is_whole = result.documents_sha256 == task.fingerprint() and file_sha256(path) == result.sha256
    return result if is_whole else None


def score_shard(
    task: ShardTask,
    scorers: Mapping[str, Scorer],
    segmenter: str,
    output: Path,
    *,
    skipped: Skipped | None = None,
    one_by_one: bool = False,
    at: Callable[[int | None], None] = lambda number: None,
) -> ShardResult:
    """Score the documents of a shard and write it with its counts, unless a finished one is there.

    Args:
        scorers: column of scores -> scorer; the first column is `scores`.
        skipped: documents that are not to be scored.
        one_by_one: never give a scorer more than one document at a time.
        at: called with the number of the document that is about to be scored, and with None after the last one.

    A scorer that raises on a document leaves it unscored, and the reason is counted. Raises `ScorerError` where a
    scorer breaks its contract.
    """
    precision = joined_precision(scorers.values())
    if (found := finished_shard(output, task, precision)) is not None:
        return found
    reasons: Counter[str] = Counter()
    texts = [segment(document.text, segmenter) for document in task.documents]
    columns: dict[str, list[list[float | None]]] = {}
    for column, scorer in scorers.items():
        scorer.unscored.clear()
        own: Counter[str] = Counter()
        columns[column] = _score(scorer, texts, dict(skipped or {}), one_by_one, at, own)
        own.update(scorer.unscored)
        num_unscored = sum(scores.count(None) for scores in columns[column])
        reasons.update(fitted_reasons(own, num_unscored, f"{scorer.name} gave no reason"))
    at(None)
    first, *others = columns
    annotated = [
        AnnotatedDocument(document.id, segments, scores, document.meta)
        for document, segments, scores in zip(task.documents, texts, columns[first], strict=True)
    ]
    write_shard(output / task.name, annotated, {column: columns[column] for column in others})
    result = ShardResult(
        name=task.name,
        num_documents=len(annotated),
        num_chars=sum(len(document.text) for document in task.documents),
        num_segments=sum(map(len, texts)),
        num_unscored=sum(scores.count(None) for found in columns.values() for scores in found),
        reasons=dict(sorted(reasons.items())),
        documents_sha256=task.fingerprint(),
        sha256=file_sha256(output / task.name),
        precision=precision,
    )
    write_json_atomic(output / f"{task.name}.json", vars(result), sync=False)
    return result


def _score(
    scorer: Scorer,
    documents: list[list[str]],
    skipped: dict[int, str],
    one_by_one: bool,
    at: Callable[[int | None], None],
    reasons: Counter[str],
) -> list[list[float | None]]:
    """Scores of the segments of each document."""
    scores: list[list[float | None]] = [[None] * len(segments) for segments in documents]
    for number, reason in skipped.items():
        reasons[reason] += len(documents[number])
    to_score = [number for number, segments in enumerate(documents) if segments and number not in skipped]
    scores_many = type(scorer).score_documents is not Scorer.score_documents
    batch_chars = scorer.batch_chars if scores_many and not one_by_one else 0
    for batch in group_by_chars(to_score, lambda number: sum(map(len, documents[number])), batch_chars):
        at(batch[0])
        for number, found in zip(batch, _try(scorer, [documents[n] for n in batch], reasons), strict=True):
            scores[number] = found
    return scores


_told: set[str] = set()
"""Reasons that this process has explained: the author of a scorer needs to see an error, but not a million times."""


def _told_briefly(error: Exception) -> str:
    """Message and place of an error, in one line; the message may quote a document."""
    told = traceback.TracebackException.from_exception(error)  # whose str works even where the error's own raises
    place = told.stack[-1]
    return f"{visible(str(told), MESSAGE_CHARS)} ({place.filename}, line {place.lineno}). Such documents stay unscored."


def _try(scorer: Scorer, documents: list[list[str]], reasons: Counter[str]) -> list[list[float | None]]:
    """Scores of a batch; when it raises, its documents one by one, so that only the guilty one goes unscored."""
    before = scorer.unscored.copy()
    try:
        found = scorer.score_documents(documents)
    except PhfError:
        raise  # what a user can put right is not the document's fault
    except Exception as error:  # noqa: BLE001 - a scorer is anybody's code, and one document must not end the job
        scorer.unscored.clear()  # not replaced: a scorer of a user's own goes on counting in its own
        scorer.unscored.update(before)
        if len(documents) > 1:
            return [scores for document in documents for scores in _try(scorer, [document], reasons)]
        reason = f"{scorer.name} raised {type(error).__name__}"
        if reason not in _told:
            _told.add(reason)
            logger.warning("%s: %s", reason, _told_briefly(error))
        reasons[reason] += len(documents[0])
        return [[None] * len(documents[0])]
    if not isinstance(found, Sized) or len(found) != len(documents):  # whatever the annotation says
        what = f"scores of {len(found)} documents" if isinstance(found, Sized) else f"a {type(found).__name__}"
        raise ScorerError(f"{scorer.name}: score_documents returned {what} for {len(documents)} documents.")
    return [checked_scores(scorer, scores, len(segments)) for segments, scores in zip(documents, found, strict=True)]
