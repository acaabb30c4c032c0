"""Dates of birth: what scrubadub's `DateOfBirthDetector` finds, each date looked up only once."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from phf.scorers.spans import Extent, TooMuchWorkError, Work

MOST_NUMBERS = 30_000
"""Three make a date, and so does a single word, for which dateparser takes milliseconds."""
_NUMBER = re.compile(
    r"\d+|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|january|february|march|april|august|september|october"
    r"|november|december|mon|tues?|wed|thu|thur|thurs|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
    r"|today|yesterday|tomorrow|now|noon|midnight|ago|(?:year|month|week|day|hour|minute|second)s?)\b",
    re.IGNORECASE,
)


class BirthDateFinder:
    """Dates 18 to 100 years ago on lines near "birth", "born", "dob" or "d.o.b.". Needs scrubadub and dateparser."""

    def __init__(self) -> None:
        from scrubadub.detectors import date_of_birth

        self._library: Any = date_of_birth
        self._detector = date_of_birth.DateOfBirthDetector(locale="en_US")

    def spans(self, text: str) -> Iterator[Extent]:
        """Every occurrence of every date of birth."""
        if sum(1 for _ in _NUMBER.finditer(text)) > MOST_NUMBERS:
            raise TooMuchWorkError("dates")
        detector = self._detector
        filth = detector.filth_cls
        ages = range(filth.min_age_years, filth.max_age_years + 1)
        dates = self._library.search_dates(text, languages=[detector.language]) or ()
        birth_dates = dict.fromkeys(
            date for date, when in dates if not date.startswith("+") and datetime.now().year - when.year in ages
        )
        lines = text.split("\n")
        work = Work("dates")
        for date in birth_dates:
            work.add(len(text))
            if self._is_in_context(date, lines) and filth(beg=0, end=len(date), text=date).is_valid():
                yield from (match.span() for match in re.finditer(re.escape(date), text))

    def _is_in_context(self, date: str, lines: list[str]) -> bool:
        before, after = self._detector.context_before, self._detector.context_after
        for number, line in enumerate(lines):
            if date in line:
                context = " ".join(lines[max(number - before, 0) : number + after + 1]).lower()
                if any(word in context for word in self._detector.context_words):
                    return True
        return False
