"""The distribution of scores of a corpus of any size, in bounded memory: exact, or estimated and marked as such."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain

import numpy as np

from phf.corpus.dataset import in_batches
from phf.corpus.sources.documents import AnnotatedDocument
from phf.storage.hashing import splitmix64

MAX_VALUES = 2**20
"""Scores are counted by value up to this many distinct values (about 32 MiB)."""
SAMPLE_SIZE = 2**18
"""Beyond it, quantiles come from a uniform sample of this many: a 95% margin of 0.2 percentile points or less."""
COUNT, CHARS, TOKENS = range(3)
"""The amounts that go with each score."""
PENDING = 2**16


class Distribution:
    """Scores (float32), each with amounts: 1, its characters, its tokens.

    `totals` (int64 [3]), `minimum`, `maximum` and `mean` are exact always. Quantiles are exact as long as there are at
    most `max_values` distinct scores; then `is_exact` turns False and they are those of a uniform sample of
    `sample_size` scores, which depends only on their order.
    """

    def __init__(self, max_values: int = MAX_VALUES, sample_size: int = SAMPLE_SIZE) -> None:
        self.totals = np.zeros(3, np.int64)
        self.minimum, self.maximum = math.inf, -math.inf
        self.is_exact = True
        self._sum = 0.0
        self._max_values = max_values
        self._sample_size = sample_size
        self._values, self._amounts = np.empty(0, np.float32), np.empty((0, 3), np.int64)
        self._sample = self._values, self._amounts, np.empty(0, np.uint64)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_pending = self._num_seen = 0

    def add(self, scores: np.ndarray, amounts: np.ndarray) -> None:
        """Add finite scores, float32 [n], with their amounts, int64 [n, 3]."""
        if not len(scores):
            return
        self.totals += amounts.sum(axis=0)
        self.minimum = min(self.minimum, float(scores.min()))
        self.maximum = max(self.maximum, float(scores.max()))
        self._sum += float(scores.sum(dtype=np.float64))
        self._pending.append((scores, amounts))
        self._num_pending += len(scores)
        # Merging costs as much as the held values, so it waits until as many new ones have arrived.
        if self._num_pending >= max(PENDING, len(self._values) // 2):
            self._merge()

    @property
    def mean(self) -> float:
        """Unweighted mean; NaN if there are no scores."""
        return self._sum / self.totals[COUNT] if self.totals[COUNT] else math.nan

    @property
    def num_sampled(self) -> int | None:
        """How many scores quantiles are estimated from; None if they are exact."""
        self._merge()
        return None if self.is_exact else len(self._sample[0])

    def quantile(self, percentile: float) -> float:
        """The smallest score that at least `percentile` % of the scores do not exceed; NaN if there are no scores.

        It is one of the scores, in the shortest decimal form that is the same float32.
        """
        scores, amounts = self.sorted_scores()
        if not len(scores):
            return math.nan
        counts = amounts[:, COUNT].cumsum()
        rank = max(1, math.ceil(Fraction(str(percentile)) * int(counts[-1]) / 100))
        return float(str(scores[np.searchsorted(counts, rank)]))

    def at_or_below(self, score: float) -> np.ndarray:
        """int64 [3]: count, characters and tokens of the scores <= `score`, compared in float32; scaled up from the sample
        if quantiles are estimates."""
        scores, amounts = self.sorted_scores()
        below = amounts[: np.searchsorted(scores, np.float32(score), side="right")].sum(axis=0)
        if self.is_exact:
            return below
        return np.rint(self.totals * (below / np.maximum(amounts.sum(axis=0), 1))).astype(np.int64)

    def sorted_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """(ascending scores [n], their amounts [n, 3]): all distinct ones, or the sample."""
        self._merge()
        if self.is_exact:
            return self._values, self._amounts
        order = np.argsort(self._sample[0], kind="stable")
        return self._sample[0][order], self._sample[1][order]

    def _merge(self) -> None:
        if not self._pending:
            return
        scores, amounts = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        self._pending, self._num_pending = [], 0
        self._merge_sample(scores, amounts)
        if self.is_exact:
            self._values, self._amounts = add_by_value(self._values, self._amounts, scores, amounts)
            self.is_exact = len(self._values) <= self._max_values
        if not self.is_exact:
            self._values, self._amounts = self._values[:0], self._amounts[:0]

    def _merge_sample(self, scores: np.ndarray, amounts: np.ndarray) -> None:
        """Keep the scores whose positions have the lowest hashes."""
        hashes = splitmix64(np.arange(self._num_seen, self._num_seen + len(scores), dtype=np.uint64))
        self._num_seen += len(scores)
        more = scores, amounts, hashes
        held, held_amounts, held_hashes = (np.concatenate([a, b]) for a, b in zip(self._sample, more, strict=True))
        if len(held) > self._sample_size:
            kept = np.argpartition(held_hashes, self._sample_size)[: self._sample_size]
            held, held_amounts, held_hashes = held[kept], held_amounts[kept], held_hashes[kept]
        self._sample = held, held_amounts, held_hashes


class ScoreDistributions:
    """The distributions of the segments' scores and of the documents' average scores, and what is unscored of each."""

    def __init__(self) -> None:
        self.levels = {"document": Distribution(), "segment": Distribution()}
        self.unscored = {level: np.zeros(3, np.int64) for level in self.levels}
        """Level -> int64 [3]: count, characters and tokens without a score. A document is unscored if no segment of it
        has a score."""

    def add(self, documents: Sequence[AnnotatedDocument], num_tokens: np.ndarray | None = None) -> None:
        """Add documents, with the number of tokens of each of their segments if it is known."""
        segments = list(chain.from_iterable(document.texts for document in documents))
        scores = np.array([score for document in documents for score in document.scores], np.float32)
        amounts = np.zeros((len(segments), 3), np.int64)
        amounts[:, COUNT] = 1
        amounts[:, CHARS] = np.fromiter(map(len, segments), np.int64, len(segments))
        if num_tokens is not None:
            amounts[:, TOKENS] = num_tokens
        self._add("segment", scores, amounts)
        owners = np.repeat(np.arange(len(documents)), [len(document.texts) for document in documents])
        sums = [np.bincount(owners, column, len(documents)).astype(np.int64) for column in amounts.T]
        averages = np.array([document.avg_score for document in documents], np.float32)
        self._add("document", averages, np.stack([np.ones(len(documents), np.int64), *sums[1:]], axis=1))

    def _add(self, level: str, scores: np.ndarray, amounts: np.ndarray) -> None:
        is_unscored = np.isnan(scores)
        self.unscored[level] += amounts[is_unscored].sum(axis=0)
        self.levels[level].add(scores[~is_unscored], amounts[~is_unscored])


def measure_scores(documents: Iterable[AnnotatedDocument]) -> ScoreDistributions:
    """The distributions of a whole corpus, read once."""
    distributions = ScoreDistributions()
    for batch in in_batches(documents):
        distributions.add(batch)
    return distributions


def add_by_value(
    values: np.ndarray, amounts: np.ndarray, new_values: np.ndarray, new_amounts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merge (ascending distinct values [n], amounts [n, columns]) with new ones: amounts of equal values are added."""
    merged, rows = np.unique(np.concatenate([values, new_values]), return_inverse=True)
    joined = np.concatenate([amounts, new_amounts])
    columns = [np.bincount(rows, column, len(merged)).astype(np.int64) for column in joined.T]
    return merged, np.stack(columns, axis=1)
