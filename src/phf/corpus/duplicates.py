"""Counting exact duplicates among any number of documents in bounded memory."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from phf.storage.hashing import hash64

if TYPE_CHECKING:
    import numpy as np

MAX_HASHES = 2**22
PENDING = 2**16


def hash_of_text(text: str) -> int:
    """The 64-bit hash by which texts are compared."""
    return hash64("document text", text)


class DuplicateCounter:
    """Counts the texts that are equal to an earlier one, by 64-bit hash.

    Exact up to `max_hashes` distinct texts. Then only the texts whose hash is in the lower half of all hashes are
    followed, later the lower quarter, and so on, and the count is an estimate: `is_exact` says which.
    """

    def __init__(self, max_hashes: int = MAX_HASHES) -> None:
        self.num_texts = 0
        self._max_hashes = max_hashes
        self._level = 0
        self._merged: tuple[np.ndarray, np.ndarray] | None = None
        """(distinct hashes that are followed, number of each [n, 1]); None: all hashes are pending."""
        self._pending: list[int] = []

    def add(self, text: str) -> None:
        """Add one text."""
        self.add_all([text])

    def add_all(self, texts: Sequence[str]) -> None:
        """Add some texts."""
        self.add_hashes(map(hash_of_text, texts))

    def add_hashes(self, hashes: Iterable[int]) -> None:
        """Add some texts by `hash_of_text`."""
        before = len(self._pending)
        self._pending += hashes
        self.num_texts += len(self._pending) - before
        if len(self._pending) >= max(PENDING, 0 if self._merged is None else len(self._merged[0]) // 2):
            self._merge()

    @property
    def is_exact(self) -> bool:
        """Whether every text was followed."""
        if not self._are_few:
            self._merge()
        return self._level == 0

    @property
    def num_duplicates(self) -> int:
        """Texts minus distinct texts; scaled up from the hashes that were followed if `is_exact` is False."""
        if self._are_few:
            return len(self._pending) - len(set(self._pending))
        hashes, counts = self._merge()
        num_followed = int(counts.sum())
        num_found = num_followed - len(hashes)
        return num_found if self._level == 0 else round(self.num_texts * num_found / max(num_followed, 1))

    @property
    def _are_few(self) -> bool:
        """Whether they can be counted without numpy, which the process that deals out an annotation does without."""
        return self._merged is None and len(self._pending) <= self._max_hashes

    def _merge(self) -> "tuple[np.ndarray, np.ndarray]":
        import numpy as np

        from phf.corpus.distribution import add_by_value

        hashes = np.array(self._pending, np.uint64)
        self._pending = []
        values, counts = self._merged or (np.empty(0, np.uint64), np.empty((0, 1), np.int64))
        values, counts = add_by_value(values, counts, hashes, np.ones((len(hashes), 1), np.int64))
        while (num := self._num_followed(values)) > self._max_hashes:
            self._level += 1
        self._merged = values[:num], counts[:num]
        return self._merged

    def _num_followed(self, hashes: "np.ndarray") -> int:
        """Of ascending hashes, how many are in the part that is followed."""
        return len(hashes) if self._level == 0 else int(hashes.searchsorted(2 ** (64 - self._level)))
