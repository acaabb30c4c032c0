"""What a scorer is: text in, misalignment scores out (float, higher is worse, None where it could not be scored)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
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

    def describe(self) -> dict[str, Any]:
        """class_name, version and settings, for manifests."""
        return {"class_name": type(self).__name__, "version": self.version, "settings": self.settings}


def build_scorer(config: Mapping[str, Any]) -> Scorer:
    """Build `{"class_name": "PEP8Scorer", **settings}`: shipped, a plugin's, or `package.module:ClassName`."""
    scorer = SCORERS.build(config, where="generation.scorer_config")
    scorer.settings = {key: value for key, value in config.items() if key != "class_name"}
    return scorer


def checked_scores(scorer: Scorer, scores: Sequence[float | None], count: int) -> list[float | None]:
    """The scores, if there are `count` of them and each is a finite number or None; else `ScorerError`."""
    name = type(scorer).__name__
    if len(scores) != count:
        raise ScorerError(f"{name} returned {len(scores)} scores for {count} texts; it must return one for each.")
    for index, score in enumerate(scores):
        if score is not None and not math.isfinite(score):
            raise ScorerError(f"{name} returned {score!r} for text {index} of {count}; return None for unscored.")
    return list(scores)
