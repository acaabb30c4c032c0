"""The violations of a text, from the fastest checker that finds what pycodestyle finds."""

import re
import sys
from functools import cache

import pycodestyle

from phf.scorers.pep8.checker import Checker
from phf.scorers.pep8.choice import LOGICAL_CHECKS, PHYSICAL_CHECKS, VERIFIED_VERSIONS
from phf.scorers.pep8.line_ends import LinearChecker
from phf.scorers.pep8.options import default_options, linear_options
from phf.scorers.pep8.report import Violations

PYCODESTYLE_VERSION: str = pycodestyle.__version__
HAS_SLOW_TOKENIZER = (3, 12) <= sys.version_info < (3, 12, 4)
"""Whether Python's tokenizer takes time quadratic in a line (python/cpython#119118)."""
LONGEST_SLOW_LINE = 50_000
"""Maximum characters of a line that cannot be checked in linear time, such as one with NUL and a backslash."""


class LongLineError(Exception):
    """A line that would take too long."""


@cache
def checker_class() -> type[pycodestyle.Checker]:
    """The fast `Checker`, or pycodestyle's own if its version or its registered checks are not the verified ones."""
    options = default_options()
    names = {
        kind: frozenset(name for name, check, _ in checks if check.__module__ == pycodestyle.__name__)
        for kind, checks in (("logical", options.logical_checks), ("physical", options.physical_checks))
    }
    is_verified = (
        PYCODESTYLE_VERSION in VERIFIED_VERSIONS
        and names == {"logical": LOGICAL_CHECKS, "physical": PHYSICAL_CHECKS}
        and (len(options.logical_checks), len(options.physical_checks)) == (len(LOGICAL_CHECKS), len(PHYSICAL_CHECKS))
        and not options.ast_checks
    )
    return Checker if is_verified else pycodestyle.Checker


def find_violations(file_lines: list[str]) -> list[tuple[int, int, str]]:
    """(line from 1, column from 0, code) of each violation, as pycodestyle finds them with its defaults.

    `file_lines` are as `phf.corpus.segmenting.segment.lines` cuts them: none is empty, "\\n" is only at an end. Raises what
    pycodestyle raises on text that it cannot handle, and `LongLineError` if it would take too long.
    """
    checker = checker_class()
    options = default_options() if checker is pycodestyle.Checker else linear_options()
    report = Violations(options.ignore)
    is_strange = _is_strange("".join(file_lines))
    if checker is Checker and is_strange:
        checker = LinearChecker
    for line in file_lines if checker is not Checker or HAS_SLOW_TOKENIZER else ():
        # if only the tokens come from elsewhere, strings with backslashes are what takes long
        if len(line) > LONGEST_SLOW_LINE and (checker is not LinearChecker or HAS_SLOW_TOKENIZER or "\\" in line):
            raise LongLineError
    # A Checker cuts a byte order mark off its own first line, hence the copy.
    checker(lines=list(file_lines), options=options, report=report).check_all()
    return report.violations


_SURROGATE = re.compile("[\ud800-\udfff]")


def _is_strange(text: str) -> bool:
    """Whether shortcuts must not be taken."""
    return (
        # From Python 3.12 on, the positions of tokens of such lines are not those of the text,
        "\r" in text
        or "\0" in text
        # and its tokenizer raises on these.
        or (not text.isascii() and _SURROGATE.search(text) is not None)
        # pycodestyle cuts off a byte order mark, and checks the rest even if it is empty.
        or text in ("\ufeff", "\xef\xbb\xbf")
    )
