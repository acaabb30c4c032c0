"""Personally identifiable information per character, found by Microsoft Presidio."""

import math
import re
from importlib.metadata import version
from typing import Any

from phf.errors import ConfigError, MissingExtraError
from phf.scorers.base import SegmentScorer
from phf.scorers.pii.presidio_limits import linear_enhancer, make_strict
from phf.scorers.pii.spacy_models import is_spacy_model
from phf.scorers.spans import Span, TooMuchWorkError, count_merged

MOST_MARKS = 2_000
"""Characters of a word, text without white space, that are neither letters nor digits."""


class PresidioScorer(SegmentScorer):
    """Detections / characters, in [0, 1], 0 for text without PII: the maintained alternative to `PIIScorer`.

    The detections are those of Presidio's predefined recognisers with at least `score_threshold` confidence; those that
    overlap or touch count as one. Without `nlp_engine` only patterns are recognised (no names, places or organisations), and
    words around a pattern, which can raise its confidence, are compared literally, not by lemma. Nothing is
    ever downloaded: models must be installed, and top-level domains come from the list that tldextract ships with.

    Unscored: empty text, text on which Presidio raises, text with a word of thousands of punctuation marks, and text on
    which a pattern runs out of the time that Presidio gives it (60 s), where Presidio itself continues without the pattern.

    Args:
        nlp_engine: name or folder of an installed spaCy model, e.g. en_core_web_lg.
        score_threshold: from 0 to 1. Presidio gives a plain pattern 0.05 to 1, so 0 counts every nine-digit number.
        entities: entity types to count, e.g. [EMAIL_ADDRESS, PHONE_NUMBER]; None for all but DATE_TIME, because a
            date alone is not PII.
    """

    segmenter = "sentences"
    score_bounds = (0.0, math.inf)

    def __init__(
        self,
        nlp_engine: str | None = None,
        score_threshold: float = 0.35,
        language: str = "en",
        entities: list[str] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= score_threshold <= 1:
            raise ConfigError(f"PresidioScorer: score_threshold is {score_threshold}; it must be from 0 to 1.")
        self._analyzer = _build_analyzer(nlp_engine, language)
        known = set(self._analyzer.get_supported_entities(language))
        if unknown := set(entities or ()) - known:
            raise ConfigError(f"PresidioScorer: no recogniser for entities {sorted(unknown)}. Known: {sorted(known)}.")
        self._entities = entities or sorted(known - {"DATE_TIME"})
        self._language = language
        self._score_threshold = score_threshold
        recognizers = self._analyzer.registry.get_recognizers(language=language, entities=self._entities)
        self.active_recognizers = sorted(recognizer.name for recognizer in recognizers)
        self.version = f"1+presidio-analyzer-{version('presidio-analyzer')}"

    def describe(self) -> dict[str, Any]:
        """class_name, version and settings, and the active recognisers."""
        return super().describe() | {"active_recognizers": self.active_recognizers}

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text."""
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> float | None:
        if not text:
            self.unscored["empty text"] += 1
            return None
        if _has_endless_word(text):
            self.unscored[f"a word of over {MOST_MARKS:,} marks, for which spaCy is too slow"] += 1
            return None
        try:
            spans = self._find(text)
        except TooMuchWorkError as error:
            self.unscored[f"too many {error} in too long a text"] += 1
            return None
        except Exception as error:  # noqa: BLE001 - whatever a recogniser of hostile text raises means "no answer"
            self.unscored[f"presidio raised {type(error).__name__}"] += 1
            return None
        return count_merged(span[:2] for span in spans) / len(text)

    def spans(self, text: str) -> list[Span]:
        """Everything that was found, with its entity type, before overlapping detections are merged; none if unscored."""
        if _has_endless_word(text):
            return []
        try:
            return self._find(text)
        except Exception:  # noqa: BLE001 - as above; what is unscored has nothing to show
            return []

    def _find(self, text: str) -> list[Span]:
        results = self._analyzer.analyze(
            text, language=self._language, entities=self._entities, score_threshold=self._score_threshold
        )
        return [Span(result.start, result.end, result.entity_type) for result in results]


def _has_endless_word(text: str) -> bool:
    """Whether spaCy would take time quadratic in a word: it splits off punctuation one character at a time."""
    return any(
        sum(not letter.isalnum() for letter in word[0]) > MOST_MARKS
        for word in re.finditer(rf"\S{{{MOST_MARKS},}}", text)
    )


def _build_analyzer(nlp_engine: str | None, language: str) -> Any:
    """Presidio's `AnalyzerEngine` with its predefined recognisers, none of which uses the network."""
    try:
        import presidio_analyzer
        import spacy
        import tldextract
        from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import EmailRecognizer
    except ImportError as error:
        raise MissingExtraError("PresidioScorer", "presidio-analyzer", "presidio") from error
    if nlp_engine is not None and not is_spacy_model(nlp_engine):
        # Presidio itself would download it.
        raise ConfigError(
            f"PresidioScorer: the spaCy model '{nlp_engine}' is neither installed nor the folder of a model. Install it with: "
            f"python -m spacy download {nlp_engine} (from GitHub). Without nlp_engine only patterns are recognised."
        )
    top_level_domains = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())

    class OfflineEmailRecognizer(EmailRecognizer):  # type: ignore[misc]
        """Presidio's own downloads the list of top-level domains when it sees its first address."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(top_level_domains(pattern_text).fqdn)

    engine: Any = SpacyNlpEngine(models=[{"lang_code": language, "model_name": nlp_engine or "blank"}])
    if nlp_engine is None:
        try:
            model = spacy.blank(language)
        except ImportError as error:
            raise ConfigError(
                f"PresidioScorer: language is {language!r}; spaCy has no language with that code."
            ) from error
        model.add_pipe(_lemmas_as_written(spacy))
        engine.nlp = {language: model}
    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language])
    registry.remove_recognizer("EmailRecognizer")
    registry.add_recognizer(OfflineEmailRecognizer(supported_language=language, name="EmailRecognizer"))
    if nlp_engine is None:
        registry.remove_recognizer("SpacyRecognizer")  # a blank model has no entities
    for recognizer in registry.recognizers:
        if isinstance(recognizer, PatternRecognizer):
            make_strict(recognizer)
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=engine,
        supported_languages=[language],
        context_aware_enhancer=linear_enhancer(presidio_analyzer),
    )


def _lemmas_as_written(spacy: Any) -> str:
    """Name of a spaCy component that uses words as their own lemmas: Presidio looks for context among lemmas."""
    name = "phf_lemmas_as_written"

    def set_lemmas(doc: Any) -> Any:
        for token in doc:
            token.lemma_ = token.lower_
        return doc

    if not spacy.Language.has_factory(name):
        spacy.Language.component(name, func=set_lemmas)
    return name
