"""Prediction of what annotating a corpus costs, from a sample of it: time, CPU or GPU hours, and disk space."""

import heapq
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import phf
from phf.annotate.corpus_piece import PieceResult
from phf.annotate.scoring import score_piece
from phf.corpus.formats.row_policy import ReadOptions
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import Document, DocumentReader
from phf.corpus.sources.parts import Part, list_corpus
from phf.errors import CorpusError, PhfError
from phf.scorers import Scorer, build_scorer
from phf.scorers.usage import Usage
from phf.statistics import UNKNOWN, Interval, ratio_estimate
from phf.storage.hashing import splitmix64

NUM_SAMPLED = 200
NUM_PARTS = 16
READ_CHARS = 2**25
"""Characters that are read, over all parts, to estimate the amount of text per byte; the sample is drawn from them."""
MIN_BATCHES = 20
MOST_TO_WARM_UP = 20
"""Documents that are scored before the clock runs, until one has a score: what cannot be scored may have loaded nothing."""


@dataclass(frozen=True)
class Reading:
    """The part of a corpus that was read, and the sample drawn from it."""

    sample: list[Document]
    num_bytes: int
    """Size of the corpus on disk."""
    num_documents: float
    """In the whole corpus: counted if `share_read` is 1, otherwise in proportion to the bytes read."""
    num_chars: float
    share_read: float
    num_parts: int
    num_parts_read: int


@dataclass(frozen=True)
class Estimate:
    """The prediction. Hours are for one process; several processes share them, up to the number of cores or GPUs."""

    phf_version: str
    source: str
    scorer: dict[str, Any]
    segmenter: str
    device: str
    has_device: bool
    """Whether the scorer has a model: without a GPU, one process of it uses all cores."""
    num_sampled: int
    """Documents that were scored."""
    num_sampled_chars: int
    num_unscored_segments: int
    num_segments: int
    unscored_reasons: dict[str, int]
    """Reason -> segments of the sample."""
    corpus: dict[str, float]
    """num_bytes, num_documents, num_characters, share_read, num_parts, num_parts_read."""
    process_hours: Interval
    """Wall-clock hours of one process (and its GPU, if the device is one)."""
    cpu_hours: Interval
    """Processor time of all threads."""
    output_bytes: float
    """Size of the annotated dataset."""
    usage: dict[str, Interval] | None = None
    """What a scorer asks of a language model, as in `phf.scorers.usage.Usage`, if no two segments are equal; NaN where it is
    not known. None for other scorers."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; intervals as `estimate`, `low` and `high`."""
        hours = {key: _plain(getattr(self, key)) for key in ("process_hours", "cpu_hours")}
        usage = None if self.usage is None else {key: _plain(value) for key, value in self.usage.items()}
        return asdict(self) | hours | {"usage": usage}


def estimate_corpus(
    source: str,
    scorer_config: Mapping[str, Any],
    segmenter: str | None = None,
    num_sampled: int = NUM_SAMPLED,
    options: ReadOptions | None = None,
) -> Estimate:
    """Score a sample of the documents of `source` and extrapolate to all of it by the sizes of its files.

    The sample is drawn from up to `READ_CHARS` characters at the start of up to `NUM_PARTS` files, spread over the
    corpus; a smaller corpus is read in full, so that only the scoring is an estimate. Loading the scorer is
    not part of the figures. Raises `CorpusError` if the size of the source is not known.
    """
    scorer = build_scorer(scorer_config, "scorer")
    segmenter = segmenter or scorer.segmenter
    reading = read_sample(source, num_sampled, options=options)
    with scorer.without_cache():  # otherwise a model may be loaded while the clock runs
        _warm_up(scorer, segmenter, reading.sample)
        sizes, wall, cpu, usages = _timed(scorer, segmenter, reading.sample)
    output_bytes, written = _written(reading.sample, scorer, segmenter)
    num_chars = int(sizes.sum())
    return Estimate(
        phf_version=phf.__version__,
        source=source,
        scorer=scorer.describe(),
        segmenter=segmenter,
        device=str(getattr(scorer, "device", None) or "cpu"),
        has_device=getattr(scorer, "device", None) is not None,
        num_sampled=len(reading.sample),
        num_sampled_chars=num_chars,
        num_unscored_segments=written.num_unscored,
        num_segments=written.num_segments,
        unscored_reasons=written.reasons,
        corpus={
            "num_bytes": reading.num_bytes,
            "num_documents": reading.num_documents,
            "num_characters": reading.num_chars,
            "share_read": reading.share_read,
            "num_parts": reading.num_parts,
            "num_parts_read": reading.num_parts_read,
        },
        process_hours=ratio_interval(wall, sizes).scaled(reading.num_chars / 3600),
        cpu_hours=ratio_interval(cpu, sizes).scaled(reading.num_chars / 3600),
        output_bytes=output_bytes / num_chars * reading.num_chars,
        usage=_usage(usages, sizes, reading.num_chars),
    )


def read_sample(
    source: str, num_sampled: int, read_chars: int = READ_CHARS, options: ReadOptions | None = None
) -> Reading:
    """Read part of a source and draw documents from it, uniformly, by hashes of their positions."""
    all_parts = list_corpus([source], options).parts
    num_bytes = sum(part.num_bytes or 0 for part in all_parts)
    if any(part.num_bytes is None for part in all_parts):
        raise CorpusError(f"{source}: its size is not known, so a sample cannot be scaled up. Use local files instead.")
    chosen = [all_parts[i] for i in np.unique(np.linspace(0, len(all_parts) - 1, NUM_PARTS).round().astype(int))]
    heap: list[tuple[int, Document]] = []
    num_documents = num_chars = num_seen = 0
    bytes_read = 0.0
    for part in chosen:
        reader = _Taken(part, read_chars // len(chosen), options)
        for document in reader:
            num_seen += 1
            if not document.text:
                continue
            item = (-splitmix64(num_seen), document)
            if len(heap) < num_sampled:
                heapq.heappush(heap, item)
            else:
                heapq.heappushpop(heap, item)
        num_documents += reader.num_documents
        num_chars += reader.num_chars
        bytes_read += reader.share * (part.num_bytes or 0)
    if not heap or not num_chars:
        raise CorpusError(f"{source}: no text was found in it, so there is nothing to estimate from.")
    scale = num_bytes / bytes_read
    return Reading(
        sample=[document for _, document in sorted(heap, key=lambda item: -item[0])],
        num_bytes=num_bytes,
        num_documents=num_documents * scale,
        num_chars=num_chars * scale,
        share_read=bytes_read / num_bytes,
        num_parts=len(all_parts),
        num_parts_read=len(chosen),
    )


class _Taken:
    """The first documents of a part, up to a number of characters, and what share of the part they are."""

    def __init__(self, part: Part, max_chars: int, options: ReadOptions | None) -> None:
        self._options = options
        self._part = part
        self._max_chars = max_chars
        self.num_documents = self.num_chars = 0
        self.share = 1.0

    def __iter__(self) -> Iterator[Document]:
        reader = DocumentReader(self._part, self._options)
        first = last = -1.0
        for document in reader:
            # A reader reports its position from time to time: documents and share are taken at the same moment.
            first = reader.fraction if first < 0 else first
            if self.num_chars >= self._max_chars and reader.fraction != last:
                self.share = reader.fraction - first
                return
            last = reader.fraction
            self.num_documents += 1
            self.num_chars += len(document.text)
            yield document


def ratio_interval(amounts: np.ndarray, sizes: np.ndarray) -> Interval:
    """Sum of `amounts` / sum of `sizes` with its 95% interval over the pairs, float64 [n] each."""
    return ratio_estimate(amounts, sizes).interval((0.0, math.inf))


def _plain(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.mean, "low": interval.low, "high": interval.high}


def _usage(usages: list[Usage], sizes: np.ndarray, num_chars: float) -> dict[str, Interval] | None:
    """What a whole corpus takes, given what each of some batches took, of these sizes; None if no model is asked."""
    if not usages:
        return None
    columns = {
        key: np.array([getattr(usage, key) for usage in usages], np.float64)  # None becomes NaN
        for key in Usage._fields
    }
    if not columns["num_requests"].any():  # nothing was answered, which does not mean that answers cost nothing
        return dict.fromkeys(columns, UNKNOWN)
    return {
        key: UNKNOWN if np.isnan(amounts).any() else ratio_interval(amounts, sizes).scaled(num_chars)
        for key, amounts in columns.items()
    }


def _warm_up(scorer: Scorer, segmenter: str, documents: list[Document]) -> None:
    for document in documents[:MOST_TO_WARM_UP]:
        if any(score is not None for score in _scores(scorer, [segment(document.text, segmenter)])):
            return


def _scores(scorer: Scorer, documents: list[list[str]]) -> list[float | None]:
    """Of all segments; none for what it raises on, which is counted where the sample is written."""
    try:
        return [score for scores in scorer.score_documents(documents) for score in scores]
    except PhfError:
        raise  # what a user can put right is not the document's fault
    except Exception:  # noqa: BLE001 - a scorer may be anyone's code
        return []


def _timed(
    scorer: Scorer, segmenter: str, documents: list[Document]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Usage]]:
    """(characters, wall-clock seconds, processor seconds, usage if it has any) of cutting and scoring each document, or each
    batch of them for a scorer that gains from scoring many at once."""
    scores_many = type(scorer).score_documents is not Scorer.score_documents
    limit = (
        min(scorer.batch_chars, sum(len(document.text) for document in documents) // MIN_BATCHES) if scores_many else 0
    )
    rows: list[tuple[int, float, float]] = []
    usages: list[Usage] = []
    batch: list[Document] = []
    num_chars = 0
    for number, document in enumerate(documents, start=1):
        batch.append(document)
        num_chars += len(document.text)
        if num_chars > limit or number == len(documents):
            before, wall, cpu = scorer.usage, time.perf_counter(), time.process_time()
            _scores(scorer, [segment(document.text, segmenter) for document in batch])  # what raises takes time too
            rows.append((num_chars, time.perf_counter() - wall, time.process_time() - cpu))
            if before is not None and scorer.usage is not None:
                usages.append(scorer.usage.since(before))
            batch, num_chars = [], 0
    sizes, wall_seconds, cpu_seconds = np.array(rows, np.float64).T
    return sizes, wall_seconds, cpu_seconds, usages


def _written(documents: list[Document], scorer: Scorer, segmenter: str) -> tuple[int, PieceResult]:
    """(bytes of the annotated shard, what was counted) of the sample."""
    with tempfile.TemporaryDirectory() as folder:
        result = score_piece("sample", documents, {"scores": scorer}, segmenter, Path(folder))
        return os.path.getsize(Path(folder) / "sample.parquet"), result
