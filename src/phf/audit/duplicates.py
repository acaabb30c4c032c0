"""Counts and shares by how often a span occurs in the corpus.

Extraction grows with duplication (Lee et al., 2022, arXiv 2107.06499; Carlini et al., 2023, arXiv 2202.07646), so a share over
all spans says more about the corpus than about the model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from phf.statistics import mean_interval


def share(is_hit: np.ndarray) -> dict[str, float]:
    """Share of true values with Wilson's 95% interval; NaN bounds for fewer than two values."""
    interval = mean_interval(is_hit.astype(np.float64), bounds=(0.0, 1.0))
    return {"share": interval.mean, "share_low": interval.low, "share_high": interval.high}


def ranges_of(counts: np.ndarray) -> list[tuple[int, int]]:
    """The ranges 1, 2 to 9, 10 to 99, 100 to 999, ... that have any of `counts`: (least, most) of each, ascending."""
    ranges = [(1, 1), (2, 9)]
    while ranges[-1][1] < counts.max(initial=0):
        least = ranges[-1][1] + 1
        ranges.append((least, 10 * least - 1))
    return [(low, high) for low, high in ranges if ((counts >= low) & (counts <= high)).any()]


def extraction_rows(counts: np.ndarray, is_extracted: np.ndarray) -> list[dict[str, Any]]:
    """For each range of occurrences: spans, how many were extracted, and their share with its interval.

    Args:
        counts: int [spans], how often each occurs in the corpus.
        is_extracted: bool [spans].
    """
    rows = []
    for low, high in ranges_of(counts):
        hits = is_extracted[(counts >= low) & (counts <= high)]
        row = {"occurrences": [low, high], "num_spans": len(hits), "num_extracted": int(hits.sum())}
        rows.append({**row, **share(hits)})
    return rows


def copy_rows(
    counts: np.ndarray, samples: Sequence[int], keys: Sequence[bytes], num_samples: int
) -> list[dict[str, Any]]:
    """For each range of occurrences: copies, distinct ones, and the samples with any, and their share with its interval.

    Args:
        counts: int [copies], how often each occurs in the corpus.
        samples: number of the sample of each.
        keys: equal for equal copies.
    """
    rows = []
    for low, high in ranges_of(counts):
        chosen = np.flatnonzero((counts >= low) & (counts <= high)).tolist()
        has_copy = np.zeros(num_samples, bool)
        has_copy[[samples[i] for i in chosen]] = True
        row = {
            "occurrences": [low, high],
            "num_copies": len(chosen),
            "num_distinct": len({keys[i] for i in chosen}),
            "num_samples": int(has_copy.sum()),
        }
        rows.append({**row, **share(has_copy)})
    return rows
