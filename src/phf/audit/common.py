"""The longest run of tokens that a sample has in common with a segment, or with any segment of a corpus."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

PAIRS = 2**21
"""Pairs of equal n-grams that are looked at at a time, unless a single segment has more."""


class CommonSpan(NamedTuple):
    """Tokens that a sample and another text have in the same order and without a gap."""

    num_tokens: int
    start: int
    """Place of the first one in the sample."""
    position: int
    """Place of the first one in the other text."""


def longest_common(sample: np.ndarray, other: np.ndarray) -> CommonSpan:
    """The longest one, of several the first in the sample; of 0 tokens where no token is in both."""
    best = CommonSpan(0, 0, 0)
    ending = np.zeros(len(other), np.int64)  # tokens of the common span that ends at each token of `other`
    for place, token in enumerate(sample.tolist()):
        ending = np.where(other == token, np.concatenate([[0], ending[:-1]]) + 1, 0)
        longest = int(ending.max(initial=0))
        if longest > best.num_tokens:
            best = CommonSpan(longest, place - longest + 1, int(ending.argmax()) - longest + 1)
    return best


class LongestSpans:
    """The longest spans that samples have in common with single segments of a corpus, found from the n-grams in common.

    Args:
        numbers: for each sample, int64 numbers of its n-grams, by the place of their first tokens.
        size: tokens of an n-gram; shorter common spans are not found.
    """

    def __init__(self, numbers: Sequence[np.ndarray], size: int) -> None:
        self._size = size
        # places of all samples in one row, with a gap behind each that no span extends across
        self._firsts = np.cumsum([0, *(len(some) + size for some in numbers)])
        joined = np.concatenate([np.empty(0, np.int64), *numbers])
        places = np.concatenate(
            [
                np.empty(0, np.int64),
                *(first + np.arange(len(some)) for first, some in zip(self._firsts, numbers, strict=False)),
            ]
        )
        self._places = places[np.argsort(joined, kind="stable")]
        self._counts = np.bincount(joined, minlength=int(joined.max(initial=-1)) + 1)
        self._starts = np.cumsum(self._counts) - self._counts
        self.spans: list[CommonSpan | None] = [None] * len(numbers)
        """The longest of each sample so far, with its position in the corpus; None where no n-gram is in common."""

    def add(self, segments: np.ndarray, numbers: np.ndarray, positions: np.ndarray) -> None:
        """Occurrences of n-grams within segments: int64 [occurrences] of each; all of a segment are together."""
        for some in self._batches(segments, numbers):
            counts = self._counts[numbers[some]]
            inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = self._places[np.repeat(self._starts[numbers[some]], counts) + inner]
            where = np.repeat(positions[some], counts)
            order = np.lexsort((where, where - places))
            places, where = places[order], where[order]
            # a span goes on while both places do
            is_first = np.ones(len(where), bool)
            is_first[1:] = (np.diff(where) != 1) | (np.diff(places) != 1)
            firsts = np.flatnonzero(is_first)
            lengths = np.diff(np.append(firsts, len(where))) + self._size - 1
            owners = np.searchsorted(self._firsts, places[firsts], side="right") - 1
            for sample in np.unique(owners).tolist():
                own = np.flatnonzero(owners == sample)
                longest = own[lengths[own].argmax()]
                best = self.spans[sample]
                if best is None or lengths[longest] > best.num_tokens:
                    start = int(places[firsts[longest]] - self._firsts[sample])
                    self.spans[sample] = CommonSpan(int(lengths[longest]), start, int(where[firsts[longest]]))

    def _batches(self, segments: np.ndarray, numbers: np.ndarray) -> Iterator[slice]:
        """Consecutive occurrences of whole segments, with about `PAIRS` pairs together."""
        totals = np.cumsum(self._counts[numbers])
        ends = np.append(np.flatnonzero(np.diff(segments)) + 1, len(segments))
        start = 0
        while start < len(segments):
            done = int(totals[start - 1]) if start else 0
            fitting = ends[(ends > start) & (totals[ends - 1] <= done + PAIRS)]
            end = int(fitting[-1]) if len(fitting) else int(ends[ends > start][0])
            yield slice(start, end)
            start = end
