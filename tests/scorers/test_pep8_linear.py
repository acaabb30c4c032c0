"""Checks in linear time against pycodestyle's own, and text that would take them hours."""

import random

import pytest
from tests.scorers.broken_code import PIECES, mutated
from tests.scorers.test_pep8 import outcome, plain_violations

from phf.corpus.segmenting.segment import lines
from phf.corpus.sources.documents import read_documents
from phf.scorers.pep8 import find as pep8_find
from phf.scorers.pep8 import linear as pep8_linear
from phf.scorers.pep8 import rows as pep8_rows
from phf.scorers.pep8.find import find_violations
from phf.scorers.pep8.scorer import PEP8Scorer

SUPERLINEAR = [
    *("not ", "not\t", "in ", "is\t", " in\t", "==", "!= ", "===", "None", "True ", "False\t", "type(", "type (a)"),
    *("lambda: ", "lambda", "if a:", "async def f(): ", "\u2028", "\xa0", "(\n", "[\n", "{\n", ")", "]", "}", ",\n"),
    *("    ", "        ", "a:\n", "a,", "'\\d'", "'''\\d\n", "f'{a}'", "f'{", "'\\", '"\\', "b'", "\\\n", "def f():\n"),
    *("    def g(self):\n", "        pass\n", "class A:\n", "@a\n", "\n", "\n\n", "x\n", "if (a or\n    b):\n", "\t"),
    *("    c)\n", "'a'\n'b'", "assert (a,\n", "except  :", "while  a", "and  ", "\tor"),
]


@pytest.fixture
def always_linear(monkeypatch):
    """No line is too short."""
    monkeypatch.setattr(pep8_linear, "SHORT", -1)
    monkeypatch.setattr(pep8_rows, "_LONG_LINE", 0)


def assert_same(text: str) -> None:
    file_lines = lines(text.replace("\r", "\n"))
    if file_lines:
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), file_lines


def test_violations_are_those_of_pycodestyle_on_what_it_is_slow_at(always_linear):
    rng = random.Random(0)
    for _ in range(700):
        start = rng.choice(["", "", "x = [", "f("])
        assert_same(start + "".join(rng.choices(SUPERLINEAR + PIECES, k=rng.randrange(1, 50))))


@pytest.mark.slow
def test_violations_are_those_of_pycodestyle_on_mutated_modules(always_linear):
    rng = random.Random(0)
    documents = [lines(document.text) for document in read_documents("python-stdlib")][::40]
    for _ in range(600):
        assert_same("".join(mutated(rng.choice(documents), rng)))


def test_violations_are_those_of_pycodestyle_on_long_lines_and_files():
    rng = random.Random(0)
    for _ in range(20):
        pieces = rng.choices([piece for piece in SUPERLINEAR if "\n" not in piece], k=4)
        assert_same("".join(rng.choices(pieces, k=800)) + "\n")
        assert_same("".join(rng.choices(SUPERLINEAR, k=2000)))


N = 100_000
LONG = {
    "blocks": "if a:" * (N // 5),
    "line separators": "\u2028" * N,
    "strings that never end": "'\\" * (N // 2),
    "brackets": "(\n" * (N // 4) + ")" * (N // 4),
    "rows against open rows": "x = [\n" + "(\na),\n" * (N // 6) + "]\n",
    "a docstring": "'''" + "\\d\n" * (N // 3) + "'''\n",
    "decorators": "@a\nx\n" * (N // 5),
    "methods": "class A:\n" + "    def f(self):\n        pass\n" * (N // 30),
    "type": "type(a == " * (N // 10),
    "not": "not\ta\t" * (N // 6),
    "joined": "a " * (N // 2) + "\\\nb\n",
    "a surrogate": "'a' " * (N // 4) + "\ud800\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_long_text_of_any_kind_is_scored(name):
    (score,) = PEP8Scorer().score_texts([LONG[name]])  # never ends where the time is quadratic
    assert score is not None


def test_what_would_take_too_long_is_unscored_with_a_reason(monkeypatch):
    monkeypatch.setattr(pep8_find, "LONGEST_SLOW_LINE", 10)
    scorer = PEP8Scorer()
    assert scorer.score_document(["x = 1\n", "y = '\\\0 long enough'\n"]) == [None, None]
    assert scorer.unscored == {"line of over 50,000 characters for which pycodestyle is too slow": 2}
    assert scorer.score_texts(["y = '\\ long enough'\n", "y = '\\\0'\n"]) != [None, None]
