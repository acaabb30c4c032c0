"""Probability of profanity by alt-profanity-check: the toxicity scorer for machines that cannot fetch weights."""

import re
from collections.abc import Callable
from importlib.metadata import version
from itertools import repeat
from typing import Any

import numpy as np

from phf.errors import MissingExtraError
from phf.scorers.base import SegmentScorer

BATCH = 50_000
"""Texts scored at once."""
PROBES = ["You damn fool, you damned FOOL!", "Good morning to all of you.", "12 o'clock", "a naïve fool", ""]
WORDS = r"\w\w+"
"""The same words as scikit-learn's own pattern, whose word boundaries are redundant because matches are as long as possible."""


class ProfanityScorer(SegmentScorer):
    """alt-profanity-check's probability that the text is profane, in [0, 1]. This is NOT Detoxify.

    A linear model over single words, shipped inside its package: it knows swear words, not hostility, and its
    numbers differ from those of `DetoxifyToxicityScorer`, so thresholds do not carry over from one to the other.
    Words it was not trained on are ignored; all texts without a known word get the same score, which is not 0.
    Unscored: empty text.
    """

    score_bounds = (0.0, 1.0)

    def __init__(self) -> None:
        try:
            import profanity_check.profanity_check as library
        except ImportError as error:
            raise MissingExtraError("ProfanityScorer", "alt-profanity-check", "profanity") from error
        super().__init__()
        self.version = f"1+alt-profanity-check-{version('alt-profanity-check')}"
        self._probabilities = _probabilities(library)

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text, in order; None for empty text."""
        scores: list[float | None] = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            probabilities = self._probabilities(batch).tolist()
            scores += [score if text else None for text, score in zip(batch, probabilities, strict=True)]
        if num_empty := scores.count(None):
            self.unscored["empty text"] += num_empty
        return scores


def _probabilities(library: Any) -> Callable[[list[str]], np.ndarray]:
    """The function that computes the library's `predict_prob`: with its weights in fewer steps, if the numbers agree.

    The library itself spends most of its time on checks and on loops over rows and words in Python.
    """
    try:
        fast = _LinearModel(library.vectorizer, library.model)
        if np.allclose(fast(PROBES), library.predict_prob(PROBES), rtol=0, atol=1e-12):
            return fast
    except (AttributeError, TypeError, ValueError):
        pass  # a release with another kind of model
    return library.predict_prob


class _LinearModel:
    """Average of calibrated linear classifiers over L2-normalised TF-IDF of words, as scikit-learn computes it."""

    def __init__(self, vectorizer: Any, model: Any) -> None:
        stop_words = vectorizer.get_stop_words()
        pattern = WORDS if vectorizer.token_pattern == r"(?u)\b\w\w+\b" else vectorizer.token_pattern
        self._words = re.compile(pattern).findall
        self._ascii_words = re.compile(pattern.replace("(?u)", ""), re.ASCII).findall
        self._columns = {word: int(i) for word, i in vectorizer.vocabulary_.items() if word not in stop_words}
        self._idf = vectorizer.idf_
        classifiers = model.calibrated_classifiers_
        calibrators = [classifier.calibrators[0] for classifier in classifiers]
        self._weights = np.stack([classifier.estimator.coef_[0] for classifier in classifiers], axis=1)
        self._intercepts = np.array([classifier.estimator.intercept_[0] for classifier in classifiers])
        self._slopes = np.array([calibrator.a_ for calibrator in calibrators])
        self._offsets = np.array([calibrator.b_ for calibrator in calibrators])

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Texts -> probabilities [len(texts)], float64."""
        from scipy.sparse import csr_matrix

        columns_of_words: list[int] = []
        ends = [0]
        for text in texts:
            words = self._ascii_words if text.isascii() else self._words
            columns_of_words.extend(map(self._columns.get, words(text.lower()), repeat(-1)))
            ends.append(len(columns_of_words))
        columns = np.array(columns_of_words, dtype=np.int64)
        is_known = columns >= 0
        known_ends = np.concatenate([[0], np.cumsum(is_known)])[ends]
        columns = columns[is_known]
        counts = csr_matrix((np.ones(len(columns)), columns, known_ends), shape=(len(texts), len(self._idf)))
        counts.sum_duplicates()
        counts.data *= self._idf[counts.indices]
        norms = np.sqrt(counts.multiply(counts).sum(axis=1).A1)
        decisions = counts @ self._weights / np.where(norms > 0, norms, 1)[:, None] + self._intercepts
        return (1 / (1 + np.exp(self._slopes * decisions + self._offsets))).mean(axis=1)
