"""Exact search for many sequences of tokens in a token store at once, in memory that does not grow with the store.

Windows of 1, 2, 4, ... tokens are hashed, each from two of half its size, for one piece of the store at a time (the doubling
of Karp, Miller and Rosenberg, 1972). A sequence is looked up by the hash of the longest such window that it begins with,
tested by the one that it ends with, and then compared token by token: hashes decide what is compared, not what is found.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from phf.storage.hashing import splitmix64
from phf.tokens.store import TokenStore
from phf.workers.activity import activity

CHUNK = 2**20
"""Tokens that are hashed at a time."""
PAIRS = 2**18
"""Candidates that are compared at a time."""


class SequenceSearch:
    """Finds `sequences` of token ids, none empty, in a store.

    Args:
        sequences: each is looked for by itself; equal ones are all found.
    """

    def __init__(self, sequences: Sequence[np.ndarray]) -> None:
        self.lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        assert (self.lengths > 0).all()
        self._ids = np.concatenate([np.empty(0, np.int64), *sequences]).astype(np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._levels = np.array([int(length).bit_length() - 1 for length in self.lengths], np.int64)
        self._tails = np.zeros(len(sequences), np.uint64)
        self._lookups: dict[int, _Lookup] = {}
        for level, hashes in enumerate(_window_hashes(self._ids, int(self._levels.max(initial=-1)) + 1)):
            numbers = np.flatnonzero(self._levels == level)
            if len(numbers):
                self._lookups[level] = _Lookup(numbers, hashes[self._starts[numbers]])
                ends = self._starts[numbers] + self.lengths[numbers]
                self._tails[numbers] = hashes[ends - 2**level]

    def matches(
        self, store: TokenStore, what: str, check: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(numbers of sequences, int64; positions in the store of their first tokens, int64) of all occurrences, in turn.

        A sequence occurs where all its tokens are of one document. `what`: the activity that is reported; `check`: called for
        each piece of the store, so that it can end the search by raising something.
        """
        if not len(self.lengths):
            return
        num_tokens, reach = store.meta["num_tokens"], int(self.lengths.max()) - 1
        document_ends = np.cumsum(store.documents["num_tokens"], dtype=np.int64)
        with activity(what, num_tokens) as advance:
            for start in range(0, num_tokens, CHUNK):
                check()
                ids = store.ids[start : start + CHUNK + reach].astype(np.int64)
                for numbers, places in self._in_piece(ids, min(CHUNK, num_tokens - start)):
                    positions = places + start
                    lasts = positions + self.lengths[numbers] - 1
                    first_document, last_document = (
                        np.searchsorted(document_ends, tokens, side="right") for tokens in (positions, lasts)
                    )
                    is_inside = first_document == last_document
                    yield numbers[is_inside], positions[is_inside]
                advance(min(CHUNK, num_tokens - start))

    def counts(self, store: TokenStore, what: str, check: Callable[[], None] = lambda: None) -> np.ndarray:
        """int64 [sequences]: how often each occurs in the store; occurrences may overlap. See `matches`."""
        counts = np.zeros(len(self.lengths), np.int64)
        for numbers, _ in self.matches(store, what, check):
            counts += np.bincount(numbers, minlength=len(counts))
        return counts

    def _in_piece(self, ids: np.ndarray, num_starts: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(numbers, places in `ids`) of the occurrences that begin in the first `num_starts` tokens."""
        for level, hashes in enumerate(_window_hashes(ids, max(self._lookups) + 1)):
            lookup = self._lookups.get(level)
            if lookup is None:
                continue
            for numbers, places in lookup.candidates(hashes[:num_starts]):
                yield self._verified(numbers, places, ids, hashes, 2**level)

    def _verified(
        self, numbers: np.ndarray, places: np.ndarray, ids: np.ndarray, hashes: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The candidates that are occurrences."""
        lengths = self.lengths[numbers]
        fits = places + lengths <= len(ids)
        numbers, places, lengths = numbers[fits], places[fits], lengths[fits]
        is_alike = hashes[places + lengths - width] == self._tails[numbers]
        numbers, places, lengths = numbers[is_alike], places[is_alike], lengths[is_alike]
        is_equal = np.ones(len(numbers), bool)
        for offset in range(int(lengths.max(initial=0))):
            reaches = np.flatnonzero(is_equal & (lengths > offset))
            own = self._ids[self._starts[numbers[reaches]] + offset]
            is_equal[reaches] = ids[places[reaches] + offset] == own
        return numbers[is_equal], places[is_equal]


class _Lookup:
    """Sequences by the hash of the window that they begin with."""

    def __init__(self, numbers: np.ndarray, hashes: np.ndarray) -> None:
        order = np.argsort(hashes, kind="stable")
        self._numbers = numbers[order]
        self._hashes, self._firsts, self._counts = np.unique(hashes[order], return_index=True, return_counts=True)
        # most windows of a store are ruled out by a table of bits, which is quicker than a binary search
        size = 1 << min(max(16, (16 * len(numbers)).bit_length()), 26)
        self._mask = np.uint64(size - 1)
        self._may_be = np.zeros(size, bool)
        self._may_be[self._hashes & self._mask] = True

    def candidates(self, hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(numbers of sequences, places) where the window at a place has the hash of the one that a sequence begins with."""
        places = np.flatnonzero(self._may_be[hashes & self._mask])
        rows = np.minimum(np.searchsorted(self._hashes, hashes[places]), len(self._hashes) - 1)
        is_found = self._hashes[rows] == hashes[places]
        places, rows = places[is_found], rows[is_found]
        ends = np.cumsum(self._counts[rows])
        begin = 0
        while begin < len(places):
            done = ends[begin - 1] if begin else 0
            end = max(int(np.searchsorted(ends, done + PAIRS, side="right")), begin + 1)
            firsts, counts = self._firsts[rows[begin:end]], self._counts[rows[begin:end]]
            inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            yield self._numbers[np.repeat(firsts, counts) + inner], np.repeat(places[begin:end], counts)
            begin = end


def _window_hashes(ids: np.ndarray, num_levels: int) -> Iterator[np.ndarray]:
    """uint64, for each level the hashes of all windows of 2**level tokens, by the place where they begin."""
    hashes = splitmix64(ids.astype(np.uint64))
    for level in range(num_levels):
        yield hashes
        half = 2**level
        if len(hashes) <= half:
            hashes = np.empty(0, np.uint64)
        else:
            hashes = splitmix64(hashes[:-half] * np.uint64(3) + hashes[half:])
