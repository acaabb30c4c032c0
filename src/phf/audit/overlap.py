"""The segments of a corpus that have the most n-grams in common with a sample."""

from collections.abc import Iterator, Sequence

import numpy as np

from phf.audit.places import Places
from phf.audit.search import SequenceSearch
from phf.audit.verbatim import windows_of
from phf.tokens.store import TokenStore

NGRAM = 4
"""Tokens of an n-gram."""


class Overlap:
    """Which share of a sample's n-grams a segment has, each weighted by how much it tells.

    The weight of an n-gram is its information, -log2 of the share of the corpus' positions at which it occurs: what is
    everywhere in the corpus weighs little, what occurs once the most.

    Args:
        samples: int64 ids of each.
    """

    def __init__(self, samples: Sequence[np.ndarray], store: TokenStore, places: Places) -> None:
        self._store, self._places = store, places
        self._windows, numbers_of = windows_of(samples, NGRAM)
        self._search = SequenceSearch(list(self._windows))
        counts = self._search.counts(store, "counting the n-grams of samples")
        self._weights = np.log2(store.meta["num_tokens"] / np.maximum(counts, 1))
        self._has = np.zeros((len(samples), len(self._windows)), bool)
        for sample, numbers in enumerate(numbers_of):
            self._has[sample, numbers] = True

    def nearest(self, most: int) -> list[list[int]]:
        """For each sample, numbers of the `most` segments that share most with it, or of the fewer that share anything.

        Of segments that share as much and are as long, which are nearly always equal, there is only the first.
        """
        best: list[dict[tuple[float, int], int]] = [{} for _ in self._has]
        for pairs in self._by_segment():
            owners, windows = np.unique(pairs, axis=1)  # an n-gram counts once in a segment
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
        return [list(segments.values()) for segments in best]

    def _by_segment(self) -> Iterator[np.ndarray]:
        """int64 [2, occurrences]: segments and the n-grams of samples that they have; all of a segment together."""
        held = np.empty((2, 0), np.int64)
        # they come in the order of the store, since all n-grams have the same length
        for numbers, starts in self._search.matches(self._store, "searching the corpus for what is like samples"):
            segments = self._places.of_tokens(starts)
            is_inside = starts + NGRAM <= segments.ends
            pairs = np.concatenate([held, np.stack([segments.numbers[is_inside], numbers[is_inside]])], axis=1)
            is_open = pairs[0] == pairs[0].max(initial=-1)  # more of it may follow
            held = pairs[:, is_open]
            if not is_open.all():
                yield pairs[:, ~is_open]
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
