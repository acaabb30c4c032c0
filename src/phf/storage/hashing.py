"""Pseudo-random decisions as pure functions of their subject: without state, so order and resuming cannot change them."""

import hashlib
import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np

Words = TypeVar("Words", int, "np.ndarray")
Item = TypeVar("Item")

_MASK = 2**64 - 1


def hash64(purpose: str, *parts: object) -> int:
    """A 64-bit hash of `parts`; different purposes (at most 16 bytes) give unrelated hashes of the same parts."""
    text = "\0".join(map(str, parts))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=purpose.encode()).digest()
    return int.from_bytes(digest, "little")


def splitmix64(word: Words) -> Words:
    """Mix a Python int below 2**64, or each element of a uint64 array (Steele et al. 2014, "SplittableRandom")."""
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def uniform(words: "np.ndarray") -> "np.ndarray":
    """uint64 words -> float64 in [0, 1), from the upper 53 bits."""
    return (words >> 11) * 2.0**-53


def sample_by_hash(items: Iterable[tuple[int, int, Item]], size: int) -> list[Item]:
    """Of (hash, size, item), the items with the smallest hashes that together have `size` or just exceed it, in their order.

    All of them if together they have no more. No more items than that are held at a time; of equal hashes, the first comes
    first.
    """
    kept: list[tuple[int, int, int, Item]] = []
    total = 0
    for number, (key, its_size, item) in enumerate(items):
        heapq.heappush(kept, (-key, -number, its_size, item))
        total += its_size
        while total - kept[0][2] >= size:
            total -= heapq.heappop(kept)[2]
    return [item for *_, item in sorted(kept, key=lambda entry: -entry[1])]
