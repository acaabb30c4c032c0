"""Example segments of a corpus: what text with a given score looks like."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phf.corpus.sources.documents import AnnotatedDocument
from phf.storage.hashing import splitmix64
from phf.text import visible

MAX_SEGMENTS = 4096
MAX_CHARS = 160
PER_QUANTILE = 2


@dataclass(frozen=True)
class Example:
    """A segment whose score is near a quantile."""

    quantiles: str
    """"p50", or "p1-p50" if they are the same number."""
    score: float
    document: str
    """Id of its document, with control characters as escapes."""
    text: str
    """Its beginning, with control characters as escapes."""


class ExampleSample:
    """A uniform sample of the scored segments that are not blank, chosen by their positions, their text cut short."""

    def __init__(self, max_segments: int = MAX_SEGMENTS) -> None:
        self._max_segments = max_segments
        self._num_seen = 0
        self._heap: list[tuple[int, float, str, str]] = []
        """(minus hash, score, document id, text) of the segments with the lowest hashes, the highest of them first."""

    def add(self, documents: Sequence[AnnotatedDocument]) -> None:
        """Add the segments of documents."""
        owners = np.repeat(np.arange(len(documents)), [len(document.texts) for document in documents])
        hashes = splitmix64(np.arange(self._num_seen, self._num_seen + len(owners), dtype=np.uint64))
        first = np.searchsorted(owners, owners)  # of each segment's document
        self._num_seen += len(owners)
        is_full = len(self._heap) == self._max_segments
        chosen = hashes <= np.uint64(-self._heap[0][0]) if is_full else np.ones(len(owners), bool)
        for row in np.flatnonzero(chosen):
            document = documents[owners[row]]
            index = row - first[row]
            text, score = document.texts[index], document.scores[index]
            if score is None or not text.strip():
                continue
            item = (-int(hashes[row]), score, document.id, visible(text, MAX_CHARS))
            if len(self._heap) < self._max_segments:
                heapq.heappush(self._heap, item)
            else:
                heapq.heappushpop(self._heap, item)

    def nearest(self, quantiles: Mapping[str, float], num: int = PER_QUANTILE) -> list[Example]:
        """For each quantile the `num` sampled segments whose scores are nearest; equal quantiles are taken together."""
        examples = []
        for score in dict.fromkeys(quantiles.values()):
            names = [name for name, value in quantiles.items() if value == score]
            label = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
            nearest = heapq.nsmallest(num, self._heap, key=lambda item: (abs(item[1] - score), -item[0]))
            examples += [Example(label, value, visible(name, MAX_CHARS), text) for _, value, name, text in nearest]
        return examples
