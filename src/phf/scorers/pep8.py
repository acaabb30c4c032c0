"""PEP 8 violations per character, found by pycodestyle."""

from bisect import bisect_right
from itertools import accumulate

from phf.data.segment import lines
from phf.scorers.base import Scorer
from phf.scorers.pep8_checker import PYCODESTYLE_VERSION, find_violations


class PEP8Scorer(Scorer):
    """Violations / characters, in [0, inf), 0 for clean text (the PEP8 task of arXiv 2302.08582).

    A violation is what pycodestyle reports with its own defaults, whatever configuration files lie around; E9 for text
    that does not parse is included. Unscored only where pycodestyle itself raises, or the text is empty.
    """

    version = f"1+pycodestyle-{PYCODESTYLE_VERSION}"
    segmenter = "lines"

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text as a file of its own."""
        scores: list[float | None] = []
        for text in texts:
            positions = self._violations(lines(text))
            scores.append(None if positions is None else len(positions) / len(text))
        return scores

    def score_document(self, segments: list[str]) -> list[float | None]:
        """Score of each segment, checked inside its file: violations that start in it / its characters."""
        file_lines = lines("".join(segments))
        positions = self._violations(file_lines)
        if positions is None:
            return [None] * len(segments)
        return violations_per_character(positions, file_lines, segments)

    def _violations(self, file_lines: list[str]) -> list[tuple[int, int]] | None:
        """(line from 1, column from 0) of each violation; None, and counted, where there is no answer."""
        if not file_lines:
            self.unscored["empty text"] += 1
            return None
        try:
            violations = find_violations(file_lines)
        except Exception as error:  # noqa: BLE001 - whatever a checker of hostile text raises means "no answer"
            self.unscored[f"pycodestyle raised {type(error).__name__}"] += 1
            return None
        return [(line, column) for line, column, _ in violations]


def violations_per_character(
    positions: list[tuple[int, int]], file_lines: list[str], segments: list[str]
) -> list[float | None]:
    """Violations that start in each segment / its characters; None for an empty segment.

    Args:
        positions: (line from 1, column from 0) of each violation, in terms of `file_lines`.
        file_lines: the lines of the document, at least one; joined, they are the segments joined.
    """
    line_starts = [0, *accumulate(map(len, file_lines))]
    segment_ends = list(accumulate(map(len, segments)))
    counts = [0] * len(segments)
    for line, column in positions:
        # A violation may be reported past the end of its line, or past the last line.
        line = min(max(line, 1), len(file_lines))
        column = min(max(column, 0), len(file_lines[line - 1]) - 1)
        counts[bisect_right(segment_ends, line_starts[line - 1] + column)] += 1
    return [count / len(text) if text else None for count, text in zip(counts, segments, strict=True)]
