"""Which segment each token of a store belongs to, without an array as long as the store."""

from typing import NamedTuple

import numpy as np

from phf.tokens.store import TokenStore

BLOCK = 4096
"""Segments between two whose first token is remembered."""


class SegmentPlaces(NamedTuple):
    """Segments; all arrays are int64 [asked]."""

    numbers: np.ndarray
    starts: np.ndarray
    """Positions of their first tokens in the store."""
    ends: np.ndarray
    """Positions after their last tokens."""


class Places:
    """Looks up segments by token, and documents by segment."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        num_segments = store.meta["num_segments"]
        sums = [store.lengths[i : i + BLOCK].sum(dtype=np.int64) for i in range(0, num_segments, BLOCK)]
        self._block_starts = np.cumsum([0, *sums], dtype=np.int64)[: len(sums)]
        self.token_ends = np.cumsum(store.documents["num_tokens"], dtype=np.int64)
        """int64 [documents], positions after the last tokens of documents."""
        self._segment_ends = np.cumsum(store.documents["num_segments"], dtype=np.int64)

    def of_tokens(self, positions: np.ndarray) -> SegmentPlaces:
        """The segments of the tokens at these positions."""
        blocks = np.searchsorted(self._block_starts, positions, side="right") - 1
        numbers, starts, ends = (np.empty(len(positions), np.int64) for _ in range(3))
        for block in np.unique(blocks):
            chosen = np.flatnonzero(blocks == block)
            lengths = self._store.lengths[block * BLOCK : (block + 1) * BLOCK]
            block_ends = self._block_starts[block] + np.cumsum(lengths, dtype=np.int64)
            inside = np.searchsorted(block_ends, positions[chosen], side="right")
            numbers[chosen] = block * BLOCK + inside
            ends[chosen] = block_ends[inside]
            starts[chosen] = block_ends[inside] - lengths[inside]
        return SegmentPlaces(numbers, starts, ends)

    def of_segments(self, numbers: np.ndarray) -> SegmentPlaces:
        """The same of segments by their numbers."""
        starts, ends = (np.empty(len(numbers), np.int64) for _ in range(2))
        for block in np.unique(numbers // BLOCK):
            chosen = np.flatnonzero(numbers // BLOCK == block)
            lengths = self._store.lengths[block * BLOCK : (block + 1) * BLOCK]
            block_ends = self._block_starts[block] + np.cumsum(lengths, dtype=np.int64)
            inside = numbers[chosen] - block * BLOCK
            ends[chosen] = block_ends[inside]
            starts[chosen] = block_ends[inside] - lengths[inside]
        return SegmentPlaces(numbers, starts, ends)

    def document_of(self, segment: int) -> int:
        """Number of the document of a segment."""
        return int(np.searchsorted(self._segment_ends, segment, side="right"))

    def documents_of(self, positions: np.ndarray) -> np.ndarray:
        """int64 [asked], numbers of the documents of the tokens at these positions."""
        return np.searchsorted(self.token_ends, positions, side="right")

    def documents_of_segments(self, numbers: np.ndarray) -> np.ndarray:
        """int64 [asked], numbers of the documents of these segments."""
        return np.searchsorted(self._segment_ends, numbers, side="right")

    def document_start(self, document: int) -> int:
        """Position of the first token of a document."""
        return int(self.token_ends[document - 1]) if document else 0

    def segments_of(self, document: int) -> range:
        """Numbers of the segments of a document."""
        return range(int(self._segment_ends[document - 1]) if document else 0, int(self._segment_ends[document]))
