"""Confidence intervals by resampling."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, num_resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap of the mean. No values give NaNs; one value gives an interval of width 0, which says nothing."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    rows = max(1, 2**22 // array.size)  # 32 MiB of resamples at once
    means = np.concatenate(
        [
            array[generator.integers(array.size, size=(min(rows, num_resamples - start), array.size))].mean(axis=1)
            for start in range(0, num_resamples, rows)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(array.mean()), float(low), float(high))
