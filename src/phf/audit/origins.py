"""Where a sample comes from: the segments of a corpus that are most like it, and what it has in common with them verbatim.

Likeness by three measures: the n-grams that they have in common; the model's own last hidden states; and the gradients of its
output layer, whose product says how much a step on the segment would lower the loss of the sample (TracIn's last layer: Pruthi
et al., 2020, arXiv 2002.08484; Yeh et al., 2022, arXiv 2202.11844). None of them proves that a segment caused a sample.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from phf.audit.common import CommonSpan, longest_common
from phf.audit.detections import Spelling
from phf.audit.draw import draw_segments
from phf.audit.last_layer import LastLayer, cosines
from phf.audit.overlap import NGRAM, Overlap
from phf.audit.places import Places
from phf.audit.repeats import Check, Repeats, TracedSample
from phf.audit.spans import CorpusTexts
from phf.audit.training_data import TrainingData
from phf.runs.reader import Sample
from phf.tokens.encoded import Encoder
from phf.tokens.store import TokenStore
from phf.tokens.tokenizer import PlainEncoder
from phf.workers.activity import activity

CANDIDATES = 16
"""Distinct segments of each sample that are compared by all measures: the nearest by n-grams, and as many by hidden states."""
SHOWN = 3
"""Of these, the nearest by each measure are kept."""


@dataclass(frozen=True)
class Common:
    """Tokens that a sample and a segment have in the same order; offsets are characters of the segment's text."""

    num_tokens: int
    start: int
    end: int


@dataclass(frozen=True)
class Neighbour:
    """A segment of the corpus and how like a sample it is; each measure is None where it is not defined."""

    text: str
    score: float | None
    document: str
    overlap: float | None
    """See `Overlap.share`."""
    hidden: float
    """Cosine of the means of the last hidden states, of all that were embedded."""
    gradient: float | None
    """Cosine of the gradients of the output layer."""
    common: Common


def worst_samples(samples: dict[str, list[Sample]], count: int) -> list[TracedSample]:
    """The `count` distinct samples with the highest scores."""
    scored = [
        TracedSample(scenario, number, sample)
        for scenario, some in samples.items()
        for number, sample in enumerate(some)
        if sample.score is not None
    ]
    scored.sort(key=lambda row: -(row.sample.score or 0.0))
    distinct = {"".join(row.sample.segments): row for row in reversed(scored)}
    return sorted(distinct.values(), key=lambda row: -(row.sample.score or 0.0))[:count]


class OriginFinder:
    """Looks for samples in a store. Segments that are compared by hidden states are embedded once, when they are first needed.

    Args:
        num_embedded: segments whose hidden states are compared, drawn at random with `seed` where the corpus has more. The
            n-grams are compared in all of the corpus.
        is_trained_on: bool [documents]; others are left out. None: all count.
        shown: what is done to each text, such as masking it; it must keep the length.
    """

    def __init__(
        self,
        store: TokenStore,
        texts: CorpusTexts,
        places: Places,
        spelling: Spelling,
        last_layer: LastLayer,
        *,
        scores_column: str,
        num_embedded: int,
        seed: int,
        is_trained_on: np.ndarray | None = None,
        shown: Callable[[str], str] = str,
    ) -> None:
        self._store, self._texts, self._places = store, texts, places
        self._spelling, self._last_layer = spelling, last_layer
        self._scores_column, self._num_embedded, self._seed = scores_column, num_embedded, seed
        self._is_trained_on, self._shown = is_trained_on, shown
        self._repeats = Repeats(store, places, spelling, is_trained_on, shown)
        self._drawn: tuple[np.ndarray, np.ndarray] | None = None

    def prepare(self) -> None:
        """Embed what is needed for every search."""
        self._embedded([], lambda: None)

    def find(self, samples: Sequence[TracedSample], check: Check = lambda: None) -> list[dict[str, Any]]:
        """For each sample that has tokens: its longest span in a segment, what the scorer detected, and the nearest segments;
        for JSON.

        `check`: called again and again; what it raises ends the search.
        """
        encoded = [self._spelling.ids("", row.sample.segments) for row in samples]
        samples = [row for row, own in zip(samples, encoded, strict=True) if len(own)]
        ids = [own for own in encoded if len(own)]
        if not ids:
            return []
        overlap = Overlap(ids, self._store, self._places, self._is_trained_on, check)
        common = overlap.find(CANDIDATES)
        repeats = self._repeats.of(samples, ids, common.longest, check)
        numbers, embedded = self._embedded(common.nearest, check)
        segments = self._places.of_segments(numbers)
        extents = list(zip(segments.starts.tolist(), segments.ends.tolist(), strict=True))
        # a corpus may have no segment as long as an n-gram
        similar = (
            cosines(self._last_layer.embeddings(ids, check), embedded) if len(numbers) else np.empty((len(ids), 0))
        )
        results = []
        with activity("comparing gradients", len(samples)) as advance:
            for index, row in enumerate(samples):
                by_ngrams = np.searchsorted(numbers, common.nearest[index]).tolist()
                distinct: dict[bytes, int] = {}
                for place in np.argsort(-similar[index], kind="stable").tolist():
                    if len(distinct) == CANDIDATES:
                        break
                    distinct.setdefault(self._ids(*extents[place]).tobytes(), place)
                gradient = self._last_layer.gradient(ids[index])
                neighbours = []
                for place in dict.fromkeys([*by_ngrams, *distinct.values()]):
                    check()
                    other_ids = self._ids(*extents[place])
                    other = self._last_layer.gradient(other_ids)
                    norm = math.sqrt(gradient.dot(gradient) * other.dot(other))
                    neighbours.append(
                        self._neighbour(
                            int(numbers[place]),
                            extents[place],
                            longest_common(ids[index], other_ids),
                            overlap=overlap.share(index, other_ids),
                            hidden=float(similar[index, place]),
                            gradient=gradient.dot(other) / norm if norm else None,
                        )
                    )
                results.append(
                    {
                        "scenario": row.scenario,
                        "number": row.number,
                        "score": row.sample.score,
                        "prompt": self._shown(row.sample.prompt),
                        "text": self._shown("".join(row.sample.segments)),
                        **repeats[index],
                        "neighbours": [asdict(neighbour) for neighbour in _nearest_by_any(neighbours)],
                    }
                )
                advance(1)
        return results

    def _ids(self, start: int, end: int) -> np.ndarray:
        return self._store.ids[start:end].astype(np.int64)

    def _embedded(self, nearest: Sequence[Sequence[int]], check: Check) -> tuple[np.ndarray, np.ndarray]:
        """(int64 numbers of segments, ascending; their embeddings): those that were drawn, and the nearest by n-grams."""
        if self._drawn is None:
            drawn = self._draw()
            self._drawn = drawn, self._embeddings(drawn, check)
        drawn, embedded = self._drawn
        more = np.setdiff1d(
            np.concatenate([np.empty(0, np.int64), *(np.array(some, np.int64) for some in nearest)]), drawn
        )
        if not len(more):
            return drawn, embedded
        others = self._embeddings(more, check)
        if not len(drawn):
            return more, others
        numbers = np.concatenate([drawn, more])
        order = np.argsort(numbers)
        return numbers[order], np.concatenate([embedded, others])[order]

    def _draw(self) -> np.ndarray:
        def is_wanted(some: slice) -> np.ndarray:
            is_long = self._store.lengths[some] >= NGRAM
            if self._is_trained_on is not None:
                is_long &= self._is_trained_on[self._places.documents_of_segments(np.arange(some.start, some.stop))]
            return is_long

        return draw_segments(self._store.meta["num_segments"], self._num_embedded, "embedded", self._seed, is_wanted)

    def _embeddings(self, numbers: np.ndarray, check: Check) -> np.ndarray:
        segments = self._places.of_segments(numbers)
        extents = zip(segments.starts.tolist(), segments.ends.tolist(), strict=True)
        rows = [self._ids(*extent) for extent in extents]
        return self._last_layer.embeddings(rows, check) if rows else np.empty((0, 0), np.float32)

    def _neighbour(
        self, segment: int, extent: tuple[int, int], common: CommonSpan, **measures: float | None
    ) -> Neighbour:
        document = self._places.document_of(segment)
        start = extent[0] + common.position
        before, own, after = (
            self._texts.between(*between, document)
            for between in zip(
                (extent[0], start, start + common.num_tokens),
                (start, start + common.num_tokens, extent[1]),
                strict=True,
            )
        )
        score = float(self._store.scores(self._scores_column)[segment])
        return Neighbour(
            self._shown(before + own + after),
            None if math.isnan(score) else score,
            self._store.document_ids([document])[0],
            common=Common(common.num_tokens, len(before), len(before + own)),
            **measures,  # type: ignore[arg-type]
        )


def finder_of(
    store: TokenStore,
    data: TrainingData,
    tokenizer: Any,
    last_layer: LastLayer,
    *,
    scores_column: str,
    num_embedded: int,
    seed: int = 0,
    shown: Callable[[str], str] = str,
) -> OriginFinder:
    """What looks in the store of `data`, which was encoded with `tokenizer`, without what was held out."""
    places = Places(store)
    return OriginFinder(
        store,
        CorpusTexts(store, PlainEncoder(tokenizer), places),
        places,
        Spelling(tokenizer, Encoder(tokenizer, store.meta["made_of"]["tokenization"])),
        last_layer,
        scores_column=scores_column,
        num_embedded=num_embedded,
        seed=seed,
        is_trained_on=data.documents_trained_on(store),
        shown=shown,
    )


def _nearest_by_any(neighbours: Sequence[Neighbour]) -> list[Neighbour]:
    """The `SHOWN` nearest by each measure, distinct texts, in order of the n-grams in common."""
    kept: dict[str, Neighbour] = {}
    for measure in ("overlap", "hidden", "gradient"):
        distinct: dict[str, Neighbour] = {}
        for neighbour in sorted(neighbours, key=lambda one: -(getattr(one, measure) or 0.0)):
            distinct.setdefault(neighbour.text, neighbour)
        kept |= {text: kept.get(text, one) for text, one in list(distinct.items())[:SHOWN]}
    return sorted(kept.values(), key=lambda one: (-(one.overlap or 0.0), -one.hidden))
