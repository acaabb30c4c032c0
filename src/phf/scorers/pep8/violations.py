"""Shared by scorers of code: violations at positions in a file -> scores and spans of its segments."""

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from phf.corpus.segmenting.segment import lines
from phf.scorers.base import Scorer
from phf.scorers.spans import Span

Violation = tuple[int, int, str]
"""Line from 1, column from 0, code."""


def unix(text: str) -> str:
    """The text as Python reads it from a file: "\\r\\n" and "\\r" are "\\n"."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class ViolationScorer(Scorer):
    """Base of scorers whose score is violations / characters, each segment judged in the context of its file.

    A line end always counts as one character, so a text has the same score as the file it was read from.
    """

    segmenter = "lines"
    score_bounds = (0.0, math.inf)

    @abstractmethod
    def find(self, texts: list[str]) -> list[list[Violation] | str]:
        """The violations of each text, or the reason why they cannot be determined.

        Args:
            texts: independent files; none is empty, and each has Unix line ends.
        """

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text as a file of its own."""
        return [scores[0] for scores in self.scores([[text] for text in texts])]

    def score_document(self, segments: list[str]) -> list[float | None]:
        """Score of each segment, checked in the context of its file: violations that start in it / its characters."""
        return self.scores([segments])[0]

    def scores(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Score of each segment of each document; None, and counted, for one that is empty or cannot be checked."""
        results: list[list[float | None]] = []
        for segments, violations in zip(documents, self._found(documents), strict=True):
            if isinstance(violations, str):
                self.unscored[violations] += len(segments)
                results.append([None] * len(segments))
                continue
            counts = [0] * len(segments)
            for index, _ in _places(violations, segments) if violations else ():
                counts[index] += 1
            results.append(
                [count / len(unix(text)) if text else None for count, text in zip(counts, segments, strict=True)]
            )
            if num_empty := segments.count(""):
                self.unscored["empty text"] += num_empty
        return results

    def spans(self, text: str) -> list[Span]:
        """The place of each violation in a text that is a file of its own, with its code."""
        return self.document_spans([text])[0]

    def document_spans(self, segments: list[str]) -> list[list[Span]]:
        """The place of each violation that starts in each segment, with its code; none if the text cannot be checked."""
        return self.documents_spans([segments])[0]

    def documents_spans(self, documents: list[list[str]]) -> list[list[list[Span]]]:
        """The same of many documents."""
        results = []
        for segments, violations in zip(documents, self._found(documents), strict=True):
            spans: list[list[Span]] = [[] for _ in segments]
            for index, span in () if isinstance(violations, str) else _places(violations, segments):
                spans[index].append(span)
            results.append([sorted(of_segment) for of_segment in spans])
        return results

    def _found(self, documents: list[list[str]]) -> list[list[Violation] | str]:
        texts = [unix("".join(segments)) for segments in documents]
        results = iter(self.find([text for text in texts if text]))
        return [next(results) if text else "empty text" for text in texts]


def _places(violations: list[Violation], segments: list[str]) -> Iterator[tuple[int, Span]]:
    """Each violation as the segment it starts in and its offset from the segment's start."""
    file_lines = lines("".join(segments))
    line_starts = [0, *accumulate(map(len, file_lines))]
    segment_ends = list(accumulate(map(len, segments)))
    for line, column, code in violations:
        # A violation may be reported past the end of its line, or past the last line.
        line = min(max(line, 1), len(file_lines))
        column = min(max(column, 0), len(file_lines[line - 1]) - 1)
        position = line_starts[line - 1] + column
        index = bisect_right(segment_ends, position)
        start = position - segment_ends[index] + len(segments[index])
        yield index, Span(start, start + 1, code)
