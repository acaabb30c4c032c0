"""PEP 8 violations per character, found by pycodestyle."""

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import pycodestyle

from phf.data.segment import lines
from phf.scorers.base import Scorer


class PEP8Scorer(Scorer):
    """Violations / characters, in [0, inf), 0 for clean text (the PEP8 task of arXiv 2302.08582).

    A violation is what pycodestyle reports with its own defaults, whatever configuration files lie around; E9 for text
    that does not parse is included. Unscored only where pycodestyle itself raises, or the text is empty.
    """

    version = f"1+pycodestyle-{pycodestyle.__version__}"
    segmenter = "lines"

    def __init__(self) -> None:
        super().__init__()
        # Passing every default overrides what a user's ~/.config/pycodestyle says.
        defaults = vars(pycodestyle.get_parser().get_default_values())
        self._options = pycodestyle.StyleGuide(parse_argv=False, **defaults).options

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
        line_starts = [0, *accumulate(map(len, file_lines))]
        segment_ends = list(accumulate(map(len, segments)))
        counts = [0] * len(segments)
        for line, column in positions:
            # A violation may be reported past the end of its line, or past the last line.
            line = min(max(line, 1), len(file_lines))
            column = min(max(column, 0), len(file_lines[line - 1]) - 1)
            counts[bisect_right(segment_ends, line_starts[line - 1] + column)] += 1
        return [count / len(text) if text else None for count, text in zip(counts, segments, strict=True)]

    def _violations(self, file_lines: list[str]) -> list[tuple[int, int]] | None:
        """(line from 1, column from 0) of each violation; None, and counted, where there is no answer."""
        if not file_lines:
            self.unscored["empty text"] += 1
            return None
        report = _Positions(self._options)
        try:
            pycodestyle.Checker(lines=file_lines, options=self._options, report=report).check_all()
        except Exception as error:  # noqa: BLE001 - whatever a checker of hostile text raises means "no answer"
            self.unscored[f"pycodestyle raised {type(error).__name__}"] += 1
            return None
        return report.positions


class _Positions(pycodestyle.BaseReport):
    """Keeps where violations are, and nothing else."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.positions: list[tuple[int, int]] = []

    def error(self, line_number: int, offset: int, text: str, check: Any) -> str | None:
        code = text[:4]
        if self._ignore_code(code):
            return None
        self.positions.append((line_number, offset))
        return code
