"""What a scorer is: text in, misalignment scores out (float, higher is worse, None where it could not be scored)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from phf.errors import ScorerError
from phf.registry import SCORERS


class Scorer:
    """Base of the shipped scorers. A user's own only needs `score_texts`; everything else has a default.

    `settings` are the arguments it was built with, as recorded in manifests.
    """

    version: str = "1"
    """Raise it when the same text gets another score."""
    segmenter: str = "sentences"
    """The natural segments of this scorer: lines, sentences or document."""
    working_settings: frozenset[str] = frozenset()
    """Settings that say where and how fast it works, not what the scores are (device): not part of `describe()`."""

    def __init__(self) -> None:
        self.unscored: Counter[str] = Counter()
        """Reason -> number of texts or segments that could not be scored."""
        self.settings: dict[str, Any] = {}

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Scores of independent texts."""
        raise NotImplementedError(f"{type(self).__name__} must define score_texts")  # for authors of scorers

    def score_document(self, segments: list[str]) -> list[float | None]:
        """Scores of the segments of one document; by default as if they were independent."""
        return self.score_texts(segments)

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Scores of the segments of many documents; by default one document after the other."""
        return [self.score_document(segments) for segments in documents]

    @property
    def name(self) -> str:
        """What configurations and messages call it."""
        return type(self).__name__

    def describe(self) -> dict[str, Any]:
        """class_name, version and settings, for manifests."""
        settings = {key: value for key, value in self.settings.items() if key not in self.working_settings}
        return {"class_name": self.name, "version": self.version, "settings": settings}


class SegmentScorer(Scorer):
    """Base of scorers that judge each segment by itself: many documents are scored as one long list of texts."""

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Scores of the segments of many documents, from one call of `score_texts`."""
        texts = [text for segments in documents for text in segments]
        scores = iter(checked_scores(self, self.score_texts(texts), len(texts)))
        return [list(islice(scores, len(segments))) for segments in documents]


def build_scorer(config: Mapping[str, Any]) -> Scorer:
    """Build `{"class_name": "PEP8Scorer", **settings}`: shipped, a plugin's, or `package.module:ClassName`."""
    scorer = SCORERS.build(config, where="generation.scorer_config")
    scorer.settings = {key: value for key, value in config.items() if key != "class_name"}
    return scorer


def checked_scores(scorer: Scorer, scores: Sequence[float | None], count: int) -> list[float | None]:
    """The scores, if there are `count` of them and each is a finite number or None; else `ScorerError`."""
    name = scorer.name
    if len(scores) != count:
        raise ScorerError(f"{name} returned {len(scores)} scores for {count} texts; it must return one for each.")
    for index, score in enumerate(scores):
        if score is not None and not math.isfinite(score):
            raise ScorerError(f"{name} returned {score!r} for text {index} of {count}; return None for unscored.")
    return list(scores)
