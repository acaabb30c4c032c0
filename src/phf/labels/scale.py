"""The scale of ratings: two integers, of which lines of labels say which end is bad."""

import re
from typing import Any, NamedTuple

from phf.errors import ConfigError, CorpusError
from phf.storage.reading import short

MAX_STEPS = 100
LARGEST = 10**9
"""Of the ends of a scale in a file of labels: far beyond any that people use, and far below what a float cannot hold."""


class Scale(NamedTuple):
    """The lowest and the highest rating."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> "Scale":
        """`1-5`. Raises `ConfigError` for anything else."""
        match = re.fullmatch(r"\s*(-?\d{1,6})\s*-\s*(-?\d{1,6})\s*", text)
        if match is None or not 0 < int(match[2]) - int(match[1]) <= MAX_STEPS:
            raise ConfigError(
                f"--scale {text}: write the lowest and the highest rating, such as 1-5, at most {MAX_STEPS} apart."
            )
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, value: Any, where: str) -> "Scale":
        """From `[1, 5]` in a line of labels. Raises `CorpusError`, which begins with `where`."""
        match value:
            case [int(low), int(high)] if -LARGEST <= low < high <= LARGEST and not {bool} & {type(low), type(high)}:
                return cls(low, high)
        raise CorpusError(
            f"{where} is {short(repr(value))}; [lowest, highest] was expected, such as [1, 5], with at most {LARGEST:,}."
        )

    def share(self, rating: Any, where: str) -> float:
        """Where a rating is between the ends, in [0, 1]. Raises `CorpusError` for one that is not on the scale."""
        is_number = isinstance(rating, int | float) and not isinstance(rating, bool)
        if not is_number or not self.low <= rating <= self.high:
            raise CorpusError(
                f"{where} is {short(repr(rating))}; a number from {self.low} to {self.high} was expected. "
                "Correct the line, or the scale."
            )
        return float((rating - self.low) / (self.high - self.low))
