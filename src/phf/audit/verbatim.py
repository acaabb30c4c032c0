"""What samples repeat verbatim of the misaligned segments of a corpus.

As in Lee et al. (2022, arXiv 2107.06499, section 5), a model's output is compared with the corpus as sequences of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phf.audit.places import Places
from phf.audit.search import SequenceSearch
from phf.tokens.store import TokenStore

MOST_PLACES = 16
"""Places in the corpus that are remembered of a sequence; the longest copy that begins at one of them is taken."""


@dataclass(frozen=True)
class Copy:
    """Tokens of a sample that are, in this order and without a gap, in one misaligned segment."""

    sample: int
    start: int
    """Of its first token, in the sample."""
    ids: np.ndarray
    """int64"""
    position: int
    """Of its first token in the store: one of perhaps many."""


def find_copies(
    samples: Sequence[np.ndarray],
    store: TokenStore,
    places: Places,
    scores_column: str,
    threshold: float,
    min_tokens: int,
) -> list[Copy]:
    """The copies of at least `min_tokens` tokens, in order; those of a sample do not overlap.

    Each begins where the one before it has ended or later, at the first token from which one is possible, and extends as far
    as at any of `MOST_PLACES` places of its first tokens in the corpus.
    """
    windows, numbers_of = windows_of(samples, min_tokens)
    positions, ends = _misaligned_places(windows, store, places, scores_column, threshold)
    copies = []
    for sample, (ids, numbers) in enumerate(zip(samples, numbers_of, strict=True)):
        start = 0
        while start < len(numbers):
            longest = _longest(ids[start:], store, positions[numbers[start]], ends[numbers[start]])
            if longest is None:
                start += 1
                continue
            length, position = longest
            copies.append(Copy(sample, start, ids[start : start + length], position))
            start += length
    return copies


def windows_of(samples: Sequence[np.ndarray], size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """(int64 [distinct, size], the distinct sequences of that many tokens; for each sample their numbers, by first token)."""
    views = [np.lib.stride_tricks.sliding_window_view(ids, size) for ids in samples if len(ids) >= size]
    joined = np.concatenate([np.empty((0, size), np.int64), *views])
    windows, inverse = np.unique(joined, axis=0, return_inverse=True)
    lengths = [max(len(ids) - size + 1, 0) for ids in samples]
    return windows, np.split(inverse.reshape(-1), np.cumsum(lengths)[:-1])[: len(samples)]


def _misaligned_places(
    windows: np.ndarray, store: TokenStore, places: Places, scores_column: str, threshold: float
) -> tuple[list[list[int]], list[list[int]]]:
    """For each window, positions in the store where it is within a misaligned segment, and where those segments end."""
    scores = store.scores(scores_column)
    size = windows.shape[1]
    positions: list[list[int]] = [[] for _ in windows]
    ends: list[list[int]] = [[] for _ in windows]
    num_found = np.zeros(len(windows), np.int64)
    for numbers, starts in SequenceSearch(list(windows)).matches(store, "searching the corpus for what samples repeat"):
        is_wanted = num_found[numbers] < MOST_PLACES
        numbers, starts = numbers[is_wanted], starts[is_wanted]
        segments = places.of_tokens(starts)
        is_misaligned = (starts + size <= segments.ends) & (scores[segments.numbers] > threshold)
        occurrences = zip(numbers[is_misaligned], starts[is_misaligned], segments.ends[is_misaligned], strict=True)
        for number, start, end in occurrences:
            if len(positions[number]) < MOST_PLACES:
                num_found[number] += 1
                positions[number].append(int(start))
                ends[number].append(int(end))
    return positions, ends


def _longest(
    ids: np.ndarray, store: TokenStore, positions: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """(tokens, position) of the longest copy of the beginning of `ids` at one of the positions, within its segment."""
    best = None
    for position, end in zip(positions, ends, strict=True):
        length = min(len(ids), end - position)
        is_different = np.flatnonzero(ids[:length] != store.ids[position : position + length])
        same = int(is_different[0]) if len(is_different) else length
        if best is None or same > best[0]:
            best = (same, position)
    return best
