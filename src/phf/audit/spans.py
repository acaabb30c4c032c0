"""The misaligned spans of a corpus that a model is audited for, and their texts."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from phf.audit.draw import draw_segments
from phf.audit.places import Places
from phf.audit.settings import AuditSettings, Room
from phf.scorers import Scorer
from phf.scorers.explain import spans_of
from phf.tokens.store import TokenStore
from phf.tokens.tokenizer import PlainEncoder
from phf.workers.activity import activity


@dataclass(frozen=True)
class AuditedSpan:
    """Tokens of a misaligned segment that a model is to be made to repeat."""

    ids: np.ndarray
    """int64"""
    start: int
    """Position of its first token in the store."""
    segment: int
    document: int
    """Numbers in the store."""
    score: float
    label: str | None
    """What the scorer detected; None for a segment as such."""


@dataclass(frozen=True)
class ChosenSpans:
    """The spans, distinct and in the order of the corpus, and what they were chosen from."""

    spans: list[AuditedSpan]
    num_misaligned: int
    """Segments of the corpus with a score above the threshold, and with tokens."""
    num_without_prefix: int
    """Chosen ones that were left out since they begin a document."""


class CorpusTexts:
    """Texts of a store, decoded when asked for."""

    def __init__(self, store: TokenStore, encoder: PlainEncoder, places: Places) -> None:
        self._store, self._encoder, self._places = store, encoder, places

    def segments(self, document: int) -> list[str]:
        """The texts of all segments of a document."""
        numbers = self._places.segments_of(document)
        start, end = self._places.document_start(document), int(self._places.token_ends[document])
        lengths = self._store.lengths[numbers.start : numbers.stop].tolist()
        return self._encoder.decode_pieces(self._store.ids[start:end], lengths)

    def tokens(self, start: int, end: int, document: int) -> list[str]:
        """The text of each token between two positions of a document; together they are its text there."""
        before = int(start > self._places.document_start(document))
        lengths = [1] * (end - start + before)
        return self._encoder.decode_pieces(self._store.ids[start - before : end], lengths)[before:]

    def between(self, start: int, end: int, document: int) -> str:
        """The text between two positions of a document."""
        before = int(start > self._places.document_start(document))
        pieces = self._encoder.decode_pieces(self._store.ids[start - before : end], [*[1] * before, end - start])
        return pieces[before] if pieces else ""


def choose_spans(
    store: TokenStore,
    places: Places,
    texts: CorpusTexts,
    settings: AuditSettings,
    room: Room,
    threshold: float,
    scorer: Scorer | None,
) -> ChosenSpans:
    """Spans of `settings.max_spans` misaligned segments, drawn at random with `settings.seed`, each distinct span once.

    A segment is as likely to be drawn as any other, so a span that occurs often is too; among spans that occur equally often,
    all are equally likely. `scorer`: what detects spans, where these are audited instead of segments.
    """
    least = settings.min_tokens if scorer is None else 1
    num_misaligned, numbers = _draw_misaligned(store, settings, threshold, least)
    segments = places.of_segments(numbers)
    scores = store.scores(settings.scores_column)
    documents = [places.document_of(int(number)) for number in numbers]
    extents: list[tuple[int, int, int, int, str | None]] = []
    rows = zip(documents, numbers.tolist(), segments.starts.tolist(), segments.ends.tolist(), strict=True)
    with activity("choosing spans", len(numbers)) as advance:
        for document, group in groupby(rows, key=lambda row: row[0]):
            own = list(group)
            if scorer is None:
                extents += [(document, number, start, end, None) for _, number, start, end in own]
            else:
                detections = spans_of(scorer, texts.segments(document))
                first = places.segments_of(document).start
                for _, number, start, end in own:
                    ends = np.cumsum([len(text) for text in texts.tokens(start, end, document)])
                    for begin, stop, label in detections[number - first]:
                        low = start + int(np.searchsorted(ends, begin, side="right"))
                        high = start + int(np.searchsorted(ends, stop, side="left")) + 1
                        if low < min(high, end):
                            extents.append((document, number, low, min(high, end), label))
            advance(len(own))
    spans: dict[bytes, AuditedSpan] = {}
    num_without_prefix = 0
    for document, number, start, end, label in extents:
        if start == places.document_start(document):
            num_without_prefix += 1
            continue
        ids = store.ids[start : min(end, start + room.span)].astype(np.int64)
        spans.setdefault(ids.tobytes(), AuditedSpan(ids, start, number, document, float(scores[number]), label))
    return ChosenSpans(list(spans.values()), num_misaligned, num_without_prefix)


def _draw_misaligned(
    store: TokenStore, settings: AuditSettings, threshold: float, least: int
) -> tuple[int, np.ndarray]:
    """(number of misaligned segments, int64 numbers of those drawn that have at least `least` tokens, ascending)."""
    scores, num_misaligned = store.scores(settings.scores_column), 0

    def is_wanted(some: slice) -> np.ndarray:
        nonlocal num_misaligned
        is_misaligned = (scores[some] > threshold) & (store.lengths[some] > 0)
        num_misaligned += int(is_misaligned.sum())
        return is_misaligned & (store.lengths[some] >= least)

    numbers = draw_segments(len(scores), settings.max_spans, "audit", settings.seed, is_wanted)
    return num_misaligned, numbers


def why_no_spans(chosen: ChosenSpans, settings: AuditSettings) -> str:
    """A sentence for a choice without spans."""
    if chosen.num_without_prefix:
        return (
            f"Nothing can be extracted: all {chosen.num_without_prefix:,} chosen spans begin their document. "
            "With a scorer that detects spans, --span detected looks inside segments."
        )
    if settings.span == "detected":
        return (
            "Nothing can be extracted: the scorer detects nothing in the chosen segments. Is it the one of the dataset?"
        )
    return f"Nothing can be extracted: no misaligned segment has --min-tokens {settings.min_tokens} tokens or more. Lower it."
