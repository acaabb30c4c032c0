"""PEP 8 violations per character, found by pycodestyle."""

import sys

from phf.corpus.segmenting.segment import lines
from phf.scorers.pep8.find import LONGEST_SLOW_LINE, PYCODESTYLE_VERSION, LongLineError, find_violations
from phf.scorers.pep8.violations import Violation, ViolationScorer


class PEP8Scorer(ViolationScorer):
    """Violations / characters, in [0, inf), 0 for clean text (the PEP8 task of arXiv 2302.08582).

    A violation is what pycodestyle reports with its default settings, ignoring any configuration files; E9 for text
    that does not parse is included. Line ends are read as in a file: "\\r\\n" and "\\r" are "\\n", counted as one character.
    Unscored only if pycodestyle itself raises, or if the text is empty.
    """

    # pycodestyle judges the tokens of the Python that runs it: from 3.12 on, for example, the inside of f-strings
    version = f"2+pycodestyle-{PYCODESTYLE_VERSION}+python-{sys.version_info.major}.{sys.version_info.minor}"

    def find(self, texts: list[str]) -> list[list[Violation] | str]:
        """See `ViolationScorer.find`."""
        return [_violations(text) for text in texts]


def _violations(text: str) -> list[Violation] | str:
    try:
        return find_violations(lines(text))
    except LongLineError:
        return f"line of over {LONGEST_SLOW_LINE:,} characters for which pycodestyle is too slow"
    except Exception as error:  # noqa: BLE001 - whatever a checker of hostile text raises means "no answer"
        return f"pycodestyle raised {type(error).__name__}"
