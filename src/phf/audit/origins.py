"""Where a sample comes from: the segments of a corpus that are most like it.

By three measures: the n-grams that they have in common; the model's own last hidden states; and the gradients of its output
layer, whose product says how much a step on the segment would lower the loss of the sample (TracIn's last layer: Pruthi et
al., 2020, arXiv 2002.08484; Yeh et al., 2022, arXiv 2202.11844). None of them proves that a segment caused a sample.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from phf.audit.draw import draw_segments
from phf.audit.last_layer import LastLayer, cosines
from phf.audit.overlap import NGRAM, Overlap
from phf.audit.places import Places
from phf.audit.spans import CorpusTexts
from phf.runs.reader import Sample
from phf.tokens.store import TokenStore
from phf.workers.activity import activity

CANDIDATES = 16
"""Distinct segments of each sample that are compared by all measures: the nearest by n-grams, and as many by hidden states."""
SHOWN = 3
"""Of these, the nearest by each measure are kept."""


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


def worst_samples(samples: dict[str, list[Sample]], count: int) -> list[tuple[str, Sample]]:
    """(scenario, sample) of the `count` distinct samples with the highest scores."""
    scored = [(scenario, sample) for scenario, some in samples.items() for sample in some if sample.score is not None]
    scored.sort(key=lambda row: -(row[1].score or 0.0))
    distinct = {"".join(sample.segments): (scenario, sample) for scenario, sample in reversed(scored)}
    kept = sorted(distinct.values(), key=lambda row: -(row[1].score or 0.0))
    return kept[:count]


def find_origins(
    samples: Sequence[tuple[str, Sample, np.ndarray]],
    store: TokenStore,
    places: Places,
    texts: CorpusTexts,
    last_layer: LastLayer,
    *,
    scores_column: str,
    num_embedded: int,
    seed: int,
    shown: Callable[[str], str] = str,
) -> list[dict[str, Any]]:
    """For each (scenario, sample, int64 ids of it), the nearest segments; for JSON.

    Args:
        num_embedded: segments whose hidden states are compared, drawn at random with `seed` where the corpus has more. The
            n-grams are compared in all of the corpus.
        shown: what is done to each text, such as masking it.
    """
    ids = [of_sample for _, _, of_sample in samples]
    overlap = Overlap(ids, store, places)
    by_ngrams = overlap.nearest(CANDIDATES)
    drawn = draw_segments(
        store.meta["num_segments"], num_embedded, "embedded", seed, lambda some: store.lengths[some] >= NGRAM
    )
    numbers = np.unique(np.concatenate([drawn, *(np.array(some, np.int64) for some in by_ngrams)]))
    segments = places.of_segments(numbers)
    segment_ids = [
        store.ids[start:end].astype(np.int64) for start, end in zip(segments.starts, segments.ends, strict=True)
    ]
    embedded = last_layer.embeddings([*segment_ids, *ids])
    similar = cosines(embedded[len(numbers) :], embedded[: len(numbers)])
    scores = store.scores(scores_column)
    results = []
    with activity("comparing gradients", len(samples)) as advance:
        for index, (scenario, sample, own_ids) in enumerate(samples):
            distinct: dict[bytes, int] = {}
            for row in np.argsort(-similar[index], kind="stable").tolist():
                if len(distinct) < CANDIDATES:
                    distinct.setdefault(segment_ids[row].tobytes(), row)
            nearest = distinct.values()
            candidates = dict.fromkeys([*np.searchsorted(numbers, by_ngrams[index]).tolist(), *nearest])
            gradient = last_layer.gradient(own_ids)
            neighbours = []
            for row in candidates:
                segment = int(numbers[row])
                document = places.document_of(segment)
                other = last_layer.gradient(segment_ids[row])
                norm = math.sqrt(gradient.dot(gradient) * other.dot(other))
                score = float(scores[segment])
                neighbours.append(
                    Neighbour(
                        shown(texts.between(int(segments.starts[row]), int(segments.ends[row]), document)),
                        None if math.isnan(score) else score,
                        store.document_ids([document])[0],
                        overlap.share(index, segment_ids[row]),
                        float(similar[index, row]),
                        gradient.dot(other) / norm if norm else None,
                    )
                )
            results.append(
                {
                    "scenario": scenario,
                    "score": sample.score,
                    "prompt": shown(sample.prompt),
                    "text": shown("".join(sample.segments)),
                    "neighbours": [asdict(neighbour) for neighbour in _nearest_by_any(neighbours)],
                }
            )
            advance(1)
    return results


def _nearest_by_any(neighbours: Sequence[Neighbour]) -> list[Neighbour]:
    """The `SHOWN` nearest by each measure, distinct texts, in order of the n-grams in common."""
    kept: dict[str, Neighbour] = {}
    for measure in ("overlap", "hidden", "gradient"):
        distinct: dict[str, Neighbour] = {}
        for neighbour in sorted(neighbours, key=lambda one: -(getattr(one, measure) or 0.0)):
            distinct.setdefault(neighbour.text, neighbour)
        kept |= {text: kept.get(text, one) for text, one in list(distinct.items())[:SHOWN]}
    return sorted(kept.values(), key=lambda one: (-(one.overlap or 0.0), -one.hidden))
