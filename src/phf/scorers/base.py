"""What a scorer is: text in, misalignment scores out (float, higher is worse, None if it could not be scored)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from numbers import Real
from typing import Any

from phf.errors import ConfigError, ScorerError
from phf.registry.names import SCORERS
from phf.scorers.spans import Span
from phf.scorers.usage import Usage
from phf.text import counted


class Scorer:
    """Base of the shipped scorers. A user's own only needs `score_texts`; everything else has a default.

    `settings` are the arguments it was built with, as recorded in manifests.
    """

    version: str = "1"
    """Change it whenever the same text would get a different score."""
    segmenter: str = "sentences"
    """The natural segments of this scorer: lines, sentences or document."""
    batch_chars: int = 200_000
    """Approximate number of characters that `phf annotate` gives to `score_documents` at a time."""
    score_bounds: tuple[float, float] = (-math.inf, math.inf)
    """The lowest and the highest possible score; intervals of mean scores do not exceed them."""
    precision: str = ""
    """Number format and kind of device of its model, such as `bfloat16 on cuda`; "" if scores do not depend on them."""
    usage: Usage | None = None
    """What it has asked of a language model so far; None for a scorer that asks none."""
    working_settings: frozenset[str] = frozenset()
    """Settings that affect where and how fast it runs but not the scores (device): not part of `describe()`."""

    def __init__(self) -> None:
        self.unscored: Counter[str] = Counter()
        """Reason -> number of texts or segments that could not be scored."""
        self.settings: dict[str, Any] = {}
        self.name = type(self).__name__
        """Its name in configurations and messages."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Scores of independent texts."""
        raise NotImplementedError(f"{type(self).__name__} must define score_texts")  # for authors of scorers

    def score_document(self, segments: list[str]) -> list[float | None]:
        """Scores of the segments of one document; by default as if they were independent of each other."""
        return self.score_texts(segments)

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Scores of the segments of many documents; by default one document after the other."""
        return [self.score_document(segments) for segments in documents]

    def spans(self, text: str) -> list[Span]:
        """What it found in an independent text, to show people the reason for a score; nothing by default.

        Never raises: in a text that cannot be scored, nothing is found.
        """
        return []

    def document_spans(self, segments: list[str]) -> list[list[Span]]:
        """What it found in each segment of one document, offset from the segment's start; by default as if independent."""
        return [self.spans(text) for text in segments]

    def documents_spans(self, documents: list[list[str]]) -> list[list[list[Span]]]:
        """What it found in the segments of many documents; by default one document after the other."""
        return [self.document_spans(segments) for segments in documents]

    def without_cache(self) -> AbstractContextManager[None]:
        """While it is open, no score comes from a cache, so that the cost of scoring can be measured."""
        return nullcontext()

    def describe(self) -> dict[str, Any]:
        """class_name, version and settings, for manifests."""
        settings = {key: value for key, value in self.settings.items() if key not in self.working_settings}
        precision = {"precision": self.precision} if self.precision else {}
        return {"class_name": self.name, "version": self.version, "settings": settings, **precision}


class SegmentScorer(Scorer):
    """Base of scorers that judge each segment on its own: many documents are scored as one long list of texts."""

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Scores of the segments of many documents, from one call of `score_texts`."""
        return _as_one_list(self, documents)


def _as_one_list(scorer: Scorer, documents: list[list[str]]) -> list[list[float | None]]:
    texts = [text for segments in documents for text in segments]
    scores = scorer.score_texts(texts)
    _check_count(scorer, scores, len(texts))
    remaining = iter(scores)
    return [list(islice(remaining, len(segments))) for segments in documents]


class _PlainScorer(Scorer):
    """Wraps any object with `score_texts` as a scorer; its optional attributes (score_document, version, ...) are used."""

    def __init__(self, scorer: Any) -> None:
        super().__init__()
        self._scorer = scorer
        self.version = str(getattr(scorer, "version", "0"))
        self.segmenter = getattr(scorer, "segmenter", Scorer.segmenter)
        self.batch_chars = getattr(scorer, "batch_chars", Scorer.batch_chars)
        self.score_bounds = getattr(scorer, "score_bounds", Scorer.score_bounds)
        self.working_settings = frozenset(getattr(scorer, "working_settings", ()))
        self.device = getattr(scorer, "device", None)
        self.precision = str(getattr(scorer, "precision", ""))
        if isinstance(own := getattr(scorer, "unscored", None), Counter):
            self.unscored = own

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return self._scorer.score_texts(texts)

    def score_document(self, segments: list[str]) -> list[float | None]:
        own = getattr(self._scorer, "score_document", self.score_texts)
        return own(segments)

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        own = getattr(self._scorer, "score_documents", None)
        if own is not None:
            scores = own(documents)
            size = len(scores) if isinstance(scores, Sized) else None
            if size != len(documents):
                what = f"a {type(scores).__name__}" if size is None else f"{size} lists"
                raise ScorerError(
                    f"{self.name}: score_documents returned {what} for {counted(len(documents), 'document')}; it must return a "
                    "list with one list of scores for each."
                )
            return scores
        if hasattr(self._scorer, "score_document"):
            return super().score_documents(documents)
        return _as_one_list(self, documents)

    def spans(self, text: str) -> list[Span]:
        own = getattr(self._scorer, "spans", None)
        return [] if own is None else checked_spans(self, own(text), text)

    def document_spans(self, segments: list[str]) -> list[list[Span]]:
        own = getattr(self._scorer, "document_spans", None)
        if own is None:
            return super().document_spans(segments)
        spans_of_segments = own(segments)
        _check_count(self, spans_of_segments, len(segments), "lists of spans")
        return [checked_spans(self, spans, text) for spans, text in zip(spans_of_segments, segments, strict=True)]


def build_scorer(config: Mapping[str, Any], where: str = "generation.scorer_config") -> Scorer:
    """Build `{"class_name": "PEP8Scorer", **settings}`: shipped, a plugin's, or `package.module:ClassName`.

    Raises `ConfigError`, naming keys below `where`, for a name or setting that does not exist, or an object without
    `score_texts`.
    """
    built = SCORERS.build(config, where=where)
    if not isinstance(built, Scorer):
        if not callable(getattr(built, "score_texts", None)):
            raise ConfigError(
                f"{where}.class_name '{config['class_name']}' makes a {type(built).__name__}, which has no method "
                "score_texts(texts) and so is not a scorer."
            )
        built = _PlainScorer(built)
    built.name = config["class_name"]
    built.settings = {key: value for key, value in config.items() if key != "class_name"}
    return built


def scorer_mismatch(annotated: Mapping[str, Any], evaluating: Mapping[str, Any]) -> str | None:
    """One line on how two `describe()`s differ; None if class, version, settings and everything else agree."""
    for key in dict.fromkeys(["class_name", "version", "settings", *annotated, *evaluating]):
        if key == "precision" and key not in annotated:  # a manifest of an earlier version
            continue
        if annotated.get(key) != evaluating.get(key):
            how = "their scores differ by rounding errors, so scores near a threshold may end up on its other side."
            if key != "precision":
                how = "the scores and thresholds of the two are not comparable."
            return (
                f"the data was scored by {annotated.get('class_name')} with {key} {annotated.get(key)!r}, samples are "
                f"scored by {evaluating.get('class_name')} with {key} {evaluating.get(key)!r}: {how}"
            )
    return None


def checked_scores(scorer: Scorer, scores: Sequence[float | None], count: int) -> list[float | None]:
    """The scores as floats, if there are `count` of them and each is a finite number or None; otherwise `ScorerError`."""
    _check_count(scorer, scores, count)
    returned: Sequence[Any] = scores  # whatever the annotation says
    if set(map(type, returned)) == {float} and math.isfinite(sum(returned)):  # nearly always, and cheap to check
        return list(returned)
    checked: list[float | None] = []
    for index, score in enumerate(returned):
        if score is None or (type(score) is float and math.isfinite(score)):
            checked.append(score)
            continue
        where = f"for text {index} of {count}"
        if not isinstance(score, Real):
            raise ScorerError(f"{scorer.name} returned {score!r} {where}; a score is a number or None.")
        try:
            number = float(score)
        except OverflowError:  # an integer of over 308 digits; Python does not even spell one of over 4300
            number = -math.inf if score < 0 else math.inf
        if not math.isfinite(number):
            raise ScorerError(f"{scorer.name} returned {number!r} {where}; return None for unscored.")
        checked.append(number)
    return checked


def fitted_reasons(reasons: Mapping[str, int], num_unscored: int, otherwise: str) -> dict[str, int]:
    """The reasons, adjusted so that they add up to the number of unscored segments.

    What a scorer did not count is counted as `otherwise`; if it counted too many, the rarest reasons are reduced.
    """
    fitted: dict[str, int] = {}
    left = num_unscored
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        if (kept := min(count, left)) > 0:
            fitted[reason] = kept
            left -= kept
    return {**fitted, otherwise: fitted.get(otherwise, 0) + left} if left else fitted


def checked_spans(scorer: Scorer, spans: Any, text: str) -> list[Span]:
    """The spans, if each is (start, end, label) within the text; otherwise `ScorerError`."""
    checked = []
    for span in spans if isinstance(spans, Iterable) else [spans]:
        match span:
            case (int(start), int(end), str(label)) if 0 <= start <= end <= len(text):
                checked.append(Span(start, end, label))
            case _:
                raise ScorerError(
                    f"{scorer.name} returned the span {span!r} for a text of {len(text)} characters; a span is "
                    "(start, end, label) within the text."
                )
    return checked


def _check_count(scorer: Scorer, returned: Any, count: int, what: str = "scores") -> None:
    if not isinstance(returned, Sized):  # whatever the annotation says
        raise ScorerError(
            f"{scorer.name} returned a {type(returned).__name__}; it must return a list of {count} {what}."
        )
    if len(returned) != count:
        raise ScorerError(
            f"{scorer.name} returned {len(returned)} {what} for {counted(count, 'text')}; it must return one for each."
        )
