"""The segments of a corpus that have the most n-grams in common with a sample."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from phf.audit.common import CommonSpan, LongestSpans
from phf.audit.places import Places
from phf.audit.search import SequenceSearch
from phf.audit.verbatim import windows_of
from phf.tokens.store import TokenStore

NGRAM = 4
"""Tokens of an n-gram."""


class Found(NamedTuple):
    """What a search found for each sample."""

    nearest: list[list[int]]
    """Numbers of the segments that share most with it, or of the fewer that share anything. Of segments that share as much and
    are as long, which are nearly always equal, there is only the first."""
    longest: list[CommonSpan | None]
    """The longest span of it that is in one segment, with a position in the store; None without an n-gram in common."""


class Overlap:
    """Which share of a sample's n-grams a segment has, each weighted by how much it tells.

    The weight of an n-gram is its information, -log2 of the share of the corpus' positions at which it occurs: what is
    everywhere in the corpus weighs little, what occurs once the most.

    Args:
        samples: int64 ids of each.
        is_trained_on: bool [documents], whether their segments are looked at; None: all are. Weights are of the whole store.
        check: called again and again; what it raises ends the search.
    """

    def __init__(
        self,
        samples: Sequence[np.ndarray],
        store: TokenStore,
        places: Places,
        is_trained_on: np.ndarray | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._places, self._is_trained_on, self._check = store, places, is_trained_on, check
        self._windows, self._numbers_of = windows_of(samples, NGRAM)
        self._search = SequenceSearch(list(self._windows))
        counts = self._search.counts(store, "counting the n-grams of samples", check)
        self._weights = np.log2(store.meta["num_tokens"] / np.maximum(counts, 1))
        self._has = np.zeros((len(samples), len(self._windows)), bool)
        for sample, numbers in enumerate(self._numbers_of):
            self._has[sample, numbers] = True

    def find(self, most: int) -> Found:
        """The `most` nearest segments of each sample, and its longest span in any."""
        best: list[dict[tuple[float, int], int]] = [{} for _ in self._has]
        longest = LongestSpans(self._numbers_of, NGRAM)
        for occurrences in self._by_segment():
            longest.add(*occurrences)
            owners, windows = np.unique(occurrences[:2], axis=1)  # an n-gram counts once in a segment
            for sample, has in enumerate(self._has):
                is_common = has[windows]
                own, inverse = np.unique(owners[is_common], return_inverse=True)
                totals = np.bincount(inverse, self._weights[windows[is_common]], minlength=len(own))
                shares = np.stack([-totals, self._store.lengths[own]])
                distinct, firsts = np.unique(shares, axis=1, return_index=True)  # the largest totals first
                for (total, length), segment in zip(
                    distinct.T[:most].tolist(), own[firsts[:most]].tolist(), strict=True
                ):
                    best[sample].setdefault((total, length), segment)
                best[sample] = dict(sorted(best[sample].items())[:most])
        return Found([list(segments.values()) for segments in best], longest.spans)

    def _by_segment(self) -> Iterator[np.ndarray]:
        """int64 [3, occurrences]: segments, the n-grams of samples that they have, and the positions of their first tokens;
        all of a segment together."""
        held = np.empty((3, 0), np.int64)
        # they come in the order of the store, since all n-grams have the same length
        for numbers, starts in self._search.matches(
            self._store, "searching the corpus for what is like samples", self._check
        ):
            segments = self._places.of_tokens(starts)
            is_inside = starts + NGRAM <= segments.ends
            if self._is_trained_on is not None:
                is_inside &= self._is_trained_on[self._places.documents_of(starts)]
            more = np.stack([segments.numbers, numbers, starts])[:, is_inside]
            rows = np.concatenate([held, more], axis=1)
            is_open = rows[0] == rows[0].max(initial=-1)  # more of it may follow
            held = rows[:, is_open]
            if not is_open.all():
                yield rows[:, ~is_open]
        if held.size:
            yield held

    def share(self, sample: int, ids: np.ndarray) -> float | None:
        """Share in [0, 1] of the sample's weighted n-grams that occur in `ids`; None for a sample that is shorter than one."""
        total = float(self._weights[self._has[sample]].sum())
        if not total:
            return None
        own, _ = windows_of([ids], NGRAM)
        known = {window.tobytes() for window in own}
        shared = [i for i in np.flatnonzero(self._has[sample]) if self._windows[i].tobytes() in known]
        return float(self._weights[shared].sum()) / total
