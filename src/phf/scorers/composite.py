"""Several scorers combined into one: the maximum of their scores, or their weighted sum."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from typing import Any, Literal

from phf.errors import ConfigError
from phf.scorers.base import Scorer, build_scorer, checked_scores, fitted_reasons
from phf.scorers.spans import Span
from phf.scorers.usage import Usage


class CompositeScorer(Scorer):
    """Maximum, or weighted sum, of the scores that other scorers give the same segments.

    Range and unit are those of the parts: set `weights` if their scales differ. A segment that one part cannot
    score is unscored, counted under that part's name. The segmenter is the first part's unless another is given.

    Args:
        scorers: configurations of the parts, each `class_name` and settings.
        combine: `max` of weight x score, or `sum` of weight x score.
        weights: one positive number for each part; None: all 1.
        device: passed to each part that takes a device and does not set one itself.

    Example: `{class_name: CompositeScorer, scorers: [{class_name: ProfanityScorer}, {class_name: PIIScorer}]}`.
    """

    working_settings = frozenset({"device"})

    def __init__(
        self,
        scorers: list[dict[str, Any]],
        combine: Literal["max", "sum"] = "max",
        weights: list[float] | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        where = "scorer_config.scorers"
        if not scorers:
            raise ConfigError(f"{where} is empty; give at least one scorer.")
        self.parts = [_part(config, device, f"{where}.{index}") for index, config in enumerate(scorers)]
        self.weights = [1.0] * len(scorers) if weights is None else weights
        if len(self.weights) != len(scorers) or not all(0 < weight < math.inf for weight in self.weights):
            raise ConfigError(
                f"scorer_config.weights is {weights}; it must be {len(scorers)} positive numbers, one for each scorer."
            )
        self.combine = combine
        together = max if combine == "max" else math.fsum
        ends = zip(*(part.score_bounds for part in self.parts), strict=True)
        low, high = (together(w * end for w, end in zip(self.weights, of_parts, strict=True)) for of_parts in ends)
        self.score_bounds = (low, high)
        self.segmenter = self.parts[0].segmenter
        self.batch_chars = max(part.batch_chars for part in self.parts)
        self.version = "1"
        self.precision = joined_precision(self.parts)
        self.device = next((d for part in self.parts if (d := getattr(part, "device", None)) is not None), None)
        """Device of the first part that has one; None if all run only on the CPU."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Combined scores of independent texts."""
        return self._combined([texts], [[part.score_texts(texts)] for part in self._fresh_parts()])[0]

    def score_document(self, segments: list[str]) -> list[float | None]:
        """Combined scores of the segments of one document, which parts may judge in its context."""
        return self._combined([segments], [[part.score_document(segments)] for part in self._fresh_parts()])[0]

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Combined scores of the segments of many documents, with one call for each part."""
        return self._combined(documents, [part.score_documents(documents) for part in self._fresh_parts()])

    def spans(self, text: str) -> list[Span]:
        """What the parts found, with the part's name in front of each label."""
        return [_of_part(part, span) for part in self.parts for span in part.spans(text)]

    def document_spans(self, segments: list[str]) -> list[list[Span]]:
        """What the parts found in each segment of one document, with the part's name in front of each label."""
        columns = [part.document_spans(segments) for part in self.parts]
        return [
            [_of_part(part, span) for part, spans in zip(self.parts, of_segment, strict=True) for span in spans]
            for of_segment in zip(*columns, strict=True)
        ]

    @property
    def usage(self) -> Usage | None:  # type: ignore[override]
        """Of those parts that have one, together."""
        known = [part.usage for part in self.parts if part.usage is not None]
        return reduce(Usage.plus, known) if known else None

    @contextmanager
    def without_cache(self) -> Iterator[None]:
        """See `Scorer.without_cache`."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.without_cache())
            yield

    def describe(self) -> dict[str, Any]:
        """As for any scorer, with the descriptions of the parts instead of their configurations."""
        settings = {
            "scorers": [part.describe() for part in self.parts],
            "combine": self.combine,
            "weights": self.weights,
        }
        return {"class_name": self.name, "version": self.version, "settings": settings}

    def _fresh_parts(self) -> Iterator[Scorer]:
        """The parts, with their counts reset, in case another part raised after they had counted."""
        for part in self.parts:
            part.unscored.clear()
            yield part

    def _combined(
        self, documents: list[list[str]], columns: list[list[list[float | None]]]
    ) -> list[list[float | None]]:
        """Scores by part, document and segment -> by document and segment; counts what could not be scored."""
        weighted = []
        counted = [[False] * len(segments) for segments in documents]  # a segment is unscored for one reason
        for part, weight, column in zip(self.parts, self.weights, columns, strict=True):
            checked = [
                checked_scores(part, scores, len(segments)) for scores, segments in zip(column, documents, strict=True)
            ]
            number = 0
            for scores, done in zip(checked, counted, strict=True):
                for index, score in enumerate(scores):
                    if score is None and not done[index]:
                        done[index] = True
                        number += 1
            self._count_unscored(part, number)
            weighted.append([[None if score is None else weight * score for score in scores] for scores in checked])
        return [
            [self._one(scores) for scores in zip(*of_document, strict=True)]
            for of_document in zip(*weighted, strict=True)
        ]

    def _one(self, scores: tuple[float | None, ...]) -> float | None:
        known = [score for score in scores if score is not None]
        if len(known) < len(scores):
            return None
        return max(known) if self.combine == "max" else math.fsum(known)

    def _count_unscored(self, part: Scorer, number: int) -> None:
        for reason, count in fitted_reasons(part.unscored, number, "unscored").items():
            self.unscored[f"{part.name}: {reason}"] += count
        part.unscored.clear()


def joined_precision(scorers: Iterable[Scorer]) -> str:
    """The precisions of several scorers, each once."""
    return ", ".join(dict.fromkeys(scorer.precision for scorer in scorers if scorer.precision))


def _of_part(part: Scorer, span: Span) -> Span:
    return span._replace(label=f"{part.name}: {span.label}")


def _part(config: dict[str, Any], device: str | None, where: str) -> Scorer:
    part = build_scorer(config, where)
    if device is None or "device" in config or "device" not in part.working_settings:
        return part
    return build_scorer({**config, "device": device}, where)
