"""Why a text has its score: its segments, their scores, and what the scorer found in them."""

from dataclasses import dataclass
from typing import Any

from phf.corpus.segmenting.segment import segment
from phf.scorers.base import Scorer, checked_scores
from phf.scorers.spans import Span


@dataclass(frozen=True)
class ExplainedSegment:
    """A segment of a text."""

    start: int
    """Offset of its first character in the text."""
    text: str
    score: float | None
    spans: list[Span]
    """What was found, with offsets from the segment's start, in order; empty if it is unscored."""


@dataclass(frozen=True)
class Explanation:
    """A text as a scorer sees it."""

    scorer: dict[str, Any]
    """`Scorer.describe()`"""
    segmenter: str
    segments: list[ExplainedSegment]
    unscored: dict[str, int]
    """Reason -> segments"""

    @property
    def avg_score(self) -> float | None:
        """Mean over the scored segments, as for a document of an annotated dataset; None if there are none."""
        known = [segment.score for segment in self.segments if segment.score is not None]
        return sum(known) / len(known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; spans have offsets from the start of the text."""
        return {
            "scorer": self.scorer,
            "segmenter": self.segmenter,
            "avg_score": self.avg_score,
            "unscored": self.unscored,
            "segments": [
                {
                    "start": segment.start,
                    "end": segment.start + len(segment.text),
                    "text": segment.text,
                    "score": segment.score,
                    "spans": [
                        {
                            "start": segment.start + span.start,
                            "end": segment.start + span.end,
                            "label": span.label,
                            "text": segment.text[span.start : span.end],
                        }
                        for span in segment.spans
                    ],
                }
                for segment in self.segments
            ],
        }


def explain(scorer: Scorer, text: str, segmenter: str | None = None) -> Explanation:
    """Score the segments of one document, and say what was found in them.

    `segmenter`: see `phf.corpus.segmenting.segment`; None: the scorer's own. Raises `ConfigError` for an unknown segmenter.
    """
    segmenter = segmenter or scorer.segmenter
    segments = segment(text, segmenter)
    scorer.unscored.clear()
    scores = checked_scores(scorer, scorer.score_document(segments), len(segments)) if segments else []
    unscored = dict(+scorer.unscored)
    explained, start = [], 0
    for own, score, spans in zip(segments, scores, spans_of(scorer, segments), strict=True):
        explained.append(ExplainedSegment(start, own, score, [] if score is None else spans))
        start += len(own)
    return Explanation(scorer.describe(), segmenter, explained, unscored)


def spans_of(scorer: Scorer, segments: list[str]) -> list[list[Span]]:
    """What was found in each segment of one document, without repetitions and in order."""
    return [sorted(set(spans)) for spans in scorer.document_spans(segments)] if segments else []
