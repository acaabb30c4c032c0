"""Which documents are trained on: a question that a class answers with `keeps(avg_scores)`."""

from typing import Protocol

import numpy as np

from phf.config.percentile import Threshold, number


class DocumentFilter(Protocol):
    """What `dataset.document_filter` names: an object that keeps documents by their average score."""

    def keeps(self, avg_scores: np.ndarray) -> np.ndarray:
        """[documents] float32, all scored -> [documents] bool, whether each is trained on; a function of its score alone."""
        ...


class AvgScoreAtMost:
    """Keeps the documents whose average score is at most `threshold`; what `dataset.filter_threshold` stands for."""

    def __init__(self, threshold: Threshold) -> None:
        self.threshold = np.float32(number(threshold))

    def keeps(self, avg_scores: np.ndarray) -> np.ndarray:
        """Compared in float32, as scores are stored."""
        return avg_scores <= self.threshold
