"""Probability of profanity by alt-profanity-check: the toxicity scorer for machines that cannot fetch weights."""

from importlib.metadata import version

from phf.errors import MissingExtraError
from phf.scorers.base import SegmentScorer

BATCH = 50_000
"""Texts given to the library at once; per call it spends as long as on hundreds of texts."""


class ProfanityScorer(SegmentScorer):
    """alt-profanity-check's probability that the text is profane, in [0, 1]. This is NOT Detoxify.

    A linear model over single words, shipped inside its package: it knows swear words, not hostility, and gives
    another number than `DetoxifyToxicityScorer` for every text, so thresholds do not carry over from one to the other.
    Words it was not trained on count nothing; text without a known word gets the same middling score, which is not 0.
    Unscored: empty text.
    """

    def __init__(self) -> None:
        try:
            import profanity_check.profanity_check as library
        except ImportError as error:
            raise MissingExtraError("ProfanityScorer", "alt-profanity-check", "profanity") from error
        super().__init__()
        self._vectorizer, self._model = library.vectorizer, library.model
        self.version = f"1+alt-profanity-check-{version('alt-profanity-check')}"

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text, in order; None for empty text."""
        present = [text for text in texts if text]
        if len(present) == len(texts):
            return [*self._probabilities(texts)]
        self.unscored["empty text"] += len(texts) - len(present)
        probabilities = iter(self._probabilities(present))
        return [next(probabilities) if text else None for text in texts]

    def _probabilities(self, texts: list[str]) -> list[float]:
        """What `profanity_check.predict_prob` returns, less its Python loop over the rows."""
        probabilities: list[float] = []
        for start in range(0, len(texts), BATCH):
            features = self._vectorizer.transform(texts[start : start + BATCH])
            probabilities += self._model.predict_proba(features)[:, 1].tolist()
        return probabilities
