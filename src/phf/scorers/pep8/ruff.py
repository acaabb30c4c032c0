"""PEP 8 violations per character, found by ruff: a fast approximation of `PEP8Scorer`."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from phf.errors import MissingExtraError, ScorerError
from phf.scorers.pep8.violations import Violation, ViolationScorer

# pycodestyle's defaults, as far as ruff knows its codes, ignoring configuration files and comments.
# Ruff lacks the others that pycodestyle ignores (E121, E123, E126, W503, W504).
ARGUMENTS = [
    *("check", "--isolated", "--no-cache", "--preview", "--select=E,W", "--ignore=E226,E24,E704", "--line-length=79"),
    *(
        "--target-version=py314",
        "--ignore-noqa",
        "--no-respect-gitignore",
        "--exit-zero",
        "--quiet",
        "--output-format=json",
    ),
]
LONGEST_LINE = 1_000_000
LONGEST_UNICODE_LINE = 250_000
"""Characters; ruff counts those before each violation of a line that is not ASCII, which takes quadratic time."""
CRASHES = (-signal.SIGABRT, -signal.SIGSEGV)
"""Exit status of ruff when its stack overflows, for example on a sum of several thousand terms."""


class RuffScorer(ViolationScorer):
    """Violations / characters, in [0, inf), 0 for clean text, by ruff's E and W rules instead of pycodestyle.

    Not the same number as `PEP8Scorer`: ruff has no rules for continuation lines (E12, E13) and implements some others
    differently. On the standard library of Python 3.11.7 the two agree on 99.00% of lines whether they are clean, ruff finds
    92.14% of pycodestyle's violating lines, and the scores of documents correlate with r = 0.986 (pycodestyle 2.15.0,
    ruff 0.17.6; `benchmarks/ruff_agreement.py`); on 400-character samples, which often do not parse, on 87.41% (78.86%,
    r = 0.829).

    A document with syntax errors has one violation for the first of them. Unscored: empty text, text that is not valid
    Unicode (lone surrogates), lines of over a million characters (250,000 if not ASCII), and text nested so deeply that
    ruff crashes. One ruff process scores all documents of a call, on all cores.
    """

    def __init__(self) -> None:
        self._binary = _find_binary()
        super().__init__()
        self.version = f"2+ruff-{version('ruff')}"

    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        """Scores of the segments of each document. Raises `ScorerError` if ruff fails."""
        return self.scores(documents)

    def find(self, texts: list[str]) -> list[list[Violation] | str]:
        """See `ViolationScorer.find`."""
        files: dict[int, bytes] = {}
        results: dict[int, list[Violation] | str] = {}
        for index, text in enumerate(texts):
            if _has_slow_line(text):
                results[index] = "a line too long for ruff"
                continue
            try:
                files[index] = text.encode()
            except UnicodeEncodeError:
                results[index] = "not valid Unicode"
        for checked, diagnostics in self._checked(files):
            if diagnostics is None:
                results[checked[0]] = "ruff crashed"
                continue
            violations: dict[int, list[Violation]] = {index: [] for index in checked}
            broken: set[int] = set()
            for diagnostic in diagnostics:
                index = int(Path(diagnostic["filename"]).stem)
                if diagnostic["code"] is None:  # a syntax error
                    if index in broken:
                        continue
                    broken.add(index)
                row, column = diagnostic["location"]["row"], diagnostic["location"]["column"]
                violations[index].append((row, column - 1, diagnostic["code"] or "syntax error"))
            results |= violations
        return [results[index] for index in range(len(texts))]

    def _checked(self, files: dict[int, bytes]) -> Iterator[tuple[list[int], list[dict] | None]]:
        """Ruff's diagnostics for several files at once; None for a file that crashes it, which is found by bisection."""
        if not files:
            return
        with tempfile.TemporaryDirectory(prefix="phf-ruff-") as folder:
            for index, content in files.items():
                Path(folder, f"{index}.py").write_bytes(content)
            diagnostics = self._run(folder)
        if diagnostics is not None or len(files) == 1:
            yield list(files), diagnostics
            return
        items = list(files.items())
        middle = len(items) // 2
        yield from self._checked(dict(items[:middle]))
        yield from self._checked(dict(items[middle:]))

    def _run(self, folder: str) -> list[dict] | None:
        """Diagnostics of all files in a folder; None if one of them made ruff crash."""
        result = subprocess.run([self._binary, *ARGUMENTS, folder], capture_output=True, encoding="utf-8", check=False)
        if result.returncode in CRASHES:
            return None
        if result.returncode != 0:
            message = result.stderr.strip()[-500:]
            raise ScorerError(f"RuffScorer: {self._binary} ended with status {result.returncode}: {message}")
        return json.loads(result.stdout)


def _has_slow_line(text: str) -> bool:
    """Whether ruff would take minutes for a line of the text."""
    return len(text) > LONGEST_UNICODE_LINE and any(
        len(line) > (LONGEST_LINE if line.isascii() else LONGEST_UNICODE_LINE) for line in text.split("\n")
    )


def _find_binary() -> str:
    try:
        from ruff import find_ruff_bin

        return find_ruff_bin()
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError("RuffScorer", "ruff", "ruff") from error
