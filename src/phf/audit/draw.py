"""A random choice among the segments of a store, in memory that does not grow with it."""

from collections.abc import Callable

import numpy as np

from phf.storage.hashing import hash64, splitmix64

CHUNK = 2**20
"""Segments that are looked at at a time."""


def draw_segments(
    num_segments: int, count: int, purpose: str, seed: int, is_wanted: Callable[[slice], np.ndarray]
) -> np.ndarray:
    """int64 numbers of `count` of the segments that are wanted, or of all that are, ascending.

    Args:
        purpose: choices for different purposes are independent.
        is_wanted: called with consecutive ranges of segments; bool for each segment of one.
    """
    word = np.uint64(hash64(purpose, seed))
    numbers, words = np.empty(0, np.int64), np.empty(0, np.uint64)
    for start in range(0, num_segments, CHUNK):
        more = start + np.flatnonzero(is_wanted(slice(start, min(start + CHUNK, num_segments))))
        numbers = np.concatenate([numbers, more])
        words = np.concatenate([words, splitmix64(more.astype(np.uint64) ^ word)])
        if len(numbers) > count:
            kept = np.argsort(words, kind="stable")[:count]
            numbers, words = numbers[kept], words[kept]
    return np.sort(numbers)
