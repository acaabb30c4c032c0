"""What is asked: segments of a source chosen at random, spread over their scores, or where two scorers disagree."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phf.corpus.dataset import read_annotated
from phf.corpus.segmenting.segment import segmenter
from phf.corpus.sources.documents import is_annotated, read_documents
from phf.errors import ConfigError, CorpusError

Kind = Literal["ratings", "pairs"]
Choice = Literal["random", "quantiles", "disagreement"]
SAMPLE_SIZE = 100_000
"""Distinct segments, drawn uniformly, among which the questions are chosen: bounds the memory."""
NUM_BINS = 10
"""Of the distinct scores, from each of which equally many segments are taken."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment and where it is from."""

    text: str
    document: str
    """Id of its document."""
    number: int
    """Of the segment in the document, from 0."""
    scores: tuple[float, ...] = ()
    """Those by which segments are chosen; one per column."""


@dataclass(frozen=True, slots=True)
class Question:
    """One segment to rate, or two to choose from."""

    segments: tuple[Segment, ...]

    @property
    def key(self) -> str:
        """Identifies what is judged, in whatever order two texts are shown."""
        return question_key([segment.text for segment in self.segments])


def question_key(texts: Sequence[str]) -> str:
    """Hash of the texts of a question, in any order."""
    digests = sorted(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts)
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def segments_of(source: str, columns: Sequence[str], segment: str | None) -> Iterator[Segment]:
    """The segments of a source with their scores in some columns; those without a score or without text are left out.

    `segment`: how a raw source is cut (`lines`, `sentences`, `document`). Raises `CorpusError` or `ConfigError` where there are
    no scores, or the source is cut already.
    """
    if not is_annotated(source):
        if columns:
            raise CorpusError(
                f"{source} has no scores to choose by. Annotate it first (phf annotate), or use --choose random."
            )
        cut = segmenter(segment or "sentences")
        for document in read_documents(source):
            for number, text in enumerate(cut(document.text)):
                if text.strip():
                    yield Segment(text, document.id, number)
        return
    if segment is not None:
        raise ConfigError(f"--segment: {source} is already cut into segments. Leave it out.")
    readers = [read_annotated(source, column) for column in columns or ("scores",)]
    for documents in zip(*readers, strict=True):
        first = documents[0]
        for number, text in enumerate(first.texts):
            scores = [document.scores[number] for document in documents]
            known = tuple(score for score in scores if score is not None) if columns else ()
            if text.strip() and len(known) == len(columns):
                yield Segment(text, first.id, number, known)


def sample(segments: Iterator[Segment], seed: int, size: int = SAMPLE_SIZE) -> list[Segment]:
    """A uniform sample of distinct texts, in random order; it depends on texts and seed, not on their order."""
    lowest: dict[bytes, Segment] = {}
    bound: bytes | None = None
    for segment in segments:
        salted = f"{seed}\n{segment.text}".encode("utf-8", "surrogatepass")
        priority = hashlib.blake2b(salted, digest_size=8).digest()
        if bound is None or priority < bound:
            lowest.setdefault(priority, segment)
        if len(lowest) >= 2 * size:
            kept = sorted(lowest)[:size]
            lowest, bound = {key: lowest[key] for key in kept}, kept[-1]
    return [lowest[key] for key in sorted(lowest)[:size]]


def choose(segments: Sequence[Segment], how: Choice, count: int, seed: int) -> list[Segment]:
    """`count` of the segments, or all if there are fewer, in random order."""
    generator = np.random.default_rng(seed)
    if how == "random" or len(segments) <= count:
        chosen = list(range(len(segments)))[:count]
    elif how == "quantiles":
        chosen = _spread(np.array([segment.scores[0] for segment in segments]), count)
    else:
        ranks = [_ranks(np.array(column)) for column in zip(*(segment.scores for segment in segments), strict=True)]
        chosen = np.argsort(-np.abs(ranks[0] - ranks[1]), kind="stable")[:count].tolist()
    return [segments[index] for index in generator.permutation(chosen)] if chosen else []


def _spread(scores: np.ndarray, count: int) -> list[int]:
    """Indices, equally many from each of `NUM_BINS` quantile bins of the distinct scores; what a bin lacks, others give."""
    distinct = np.unique(scores)
    places = np.searchsorted(distinct, scores) * min(NUM_BINS, len(distinct)) // len(distinct)
    bins = [np.flatnonzero(places == place).tolist() for place in range(int(places.max()) + 1)]
    chosen: list[int] = []
    while len(chosen) < count and any(bins):
        for indices in bins:
            if indices and len(chosen) < count:
                chosen.append(indices.pop(0))
    return chosen


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Share of scores that are lower, plus half of those that are equal: in [0, 1], comparable between scorers."""
    ordered = np.sort(scores)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(scores))


def questions(segments: Sequence[Segment], kind: Kind) -> list[Question]:
    """Each segment by itself, or two and two: no segment is in two pairs, so that labels can be divided."""
    if kind == "ratings":
        return [Question((segment,)) for segment in segments]
    return [Question(pair) for pair in zip(segments[0::2], segments[1::2], strict=False)]
