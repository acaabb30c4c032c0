"""Counting exact duplicates among any number of documents in bounded memory."""

from collections.abc import Sequence

import numpy as np

from phf.corpus.distribution import add_by_value
from phf.storage.hashing import hash64

MAX_HASHES = 2**22
PENDING = 2**16


class DuplicateCounter:
    """Counts the texts that are equal to an earlier one, by 64-bit hash.

    Exact up to `max_hashes` distinct texts. Then only the texts whose hash is in the lower half of all hashes are
    followed, later the lower quarter, and so on, and the count is an estimate: `is_exact` says which.
    """

    def __init__(self, max_hashes: int = MAX_HASHES) -> None:
        self.num_texts = 0
        self._max_hashes = max_hashes
        self._level = 0
        self._hashes, self._counts = np.empty(0, np.uint64), np.empty((0, 1), np.int64)
        self._pending: list[int] = []

    def add(self, text: str) -> None:
        """Add one text."""
        self.add_all([text])

    def add_all(self, texts: Sequence[str]) -> None:
        """Add some texts."""
        self.num_texts += len(texts)
        self._pending += [hash64("document text", text) for text in texts]
        if len(self._pending) >= max(PENDING, len(self._hashes) // 2):
            self._merge()

    @property
    def is_exact(self) -> bool:
        """Whether every text was followed."""
        self._merge()
        return self._level == 0

    @property
    def num_duplicates(self) -> int:
        """Texts minus distinct texts; scaled up from the hashes that were followed if `is_exact` is False."""
        self._merge()
        num_followed = int(self._counts.sum())
        num_found = num_followed - len(self._hashes)
        return num_found if self._level == 0 else round(self.num_texts * num_found / max(num_followed, 1))

    def _merge(self) -> None:
        hashes = np.array(self._pending, np.uint64)
        self._pending = []
        self._hashes, self._counts = self._followed(
            *add_by_value(self._hashes, self._counts, hashes, np.ones((len(hashes), 1), np.int64))
        )
        while len(self._hashes) > self._max_hashes:
            self._level += 1
            self._hashes, self._counts = self._followed(self._hashes, self._counts)

    def _followed(self, hashes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        num = len(hashes) if self._level == 0 else int(np.searchsorted(hashes, np.uint64(2 ** (64 - self._level))))
        return hashes[:num], counts[:num]
