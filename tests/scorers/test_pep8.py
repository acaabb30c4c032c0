"""PEP8Scorer against pycodestyle itself and by hand."""

import copy
import random
import sys
from collections.abc import Callable

import pycodestyle
import pytest
from tests.scorers.broken_code import PIECES, WORDS, broken, mutated

from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.errors import ConfigError, ScorerError
from phf.scorers import Scorer, build_scorer, checked_scores
from phf.scorers.pep8 import find as pep8_find
from phf.scorers.pep8.find import find_violations
from phf.scorers.pep8.plain import plain_row
from phf.scorers.pep8.scorer import PEP8Scorer

OPTIONS = pycodestyle.StyleGuide(quiet=True).options


def plain_violations(file_lines: list[str]) -> list[tuple[int, int, str]]:
    """What the plain use of pycodestyle finds: a fresh Checker and report, default options."""
    violations = []

    class Report(pycodestyle.BaseReport):
        def error(self, line_number, offset, text, check):
            if super().error(line_number, offset, text, check):
                violations.append((line_number, offset, text[:4]))

    pycodestyle.Checker(lines=list(file_lines), options=OPTIONS, report=Report(OPTIONS)).check_all()
    return violations


def outcome(find: Callable[[list[str]], object], file_lines: list[str]) -> object:
    """What it returns, or the type of what it raises."""
    try:
        return find(file_lines)
    except Exception as error:  # noqa: BLE001 - pycodestyle raises many things, and so must we
        return type(error)


def test_scores_by_hand():
    scorer = PEP8Scorer()
    # "x=1\n": E225, 4 characters; "y = 2\n": clean
    assert scorer.score_document(["x=1\n", "y = 2\n"]) == [1 / 4, 0.0]
    assert scorer.score_texts(["x=1\n", "y = 2\n"]) == [1 / 4, 0.0]


def test_lines_are_judged_inside_their_file():
    # the second def is a violation only because of the first (E302, E305 need two blank lines)
    lines = ["def f():\n", "    pass\n", "def g():\n", "    pass\n"]
    assert PEP8Scorer().score_document(lines) == [0.0, 0.0, 1 / 9, 0.0]
    assert PEP8Scorer().score_texts(lines[2:3]) != [1 / 9]


def test_text_that_does_not_parse_is_scored():
    (score,) = PEP8Scorer().score_texts(["def f(:\n"])
    assert score is not None
    assert score > 0


@pytest.mark.slow
def test_violations_are_those_of_pycodestyle_on_the_standard_library():
    for document in list(read_documents("python-stdlib"))[::8]:
        file_lines = segment(document.text, "lines")
        assert find_violations(file_lines) == plain_violations(file_lines), document.id


@pytest.mark.slow
def test_violations_are_those_of_pycodestyle_on_broken_code():
    rng = random.Random(0)
    documents = [document.text for document in read_documents("python-stdlib")][::20]
    for _ in range(2000):
        file_lines = segment(broken(rng.choice(documents), rng), "lines")
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), file_lines


@pytest.mark.slow
def test_violations_are_those_of_pycodestyle_on_mutated_lines():
    rng = random.Random(1)
    documents = [segment(document.text, "lines") for document in read_documents("python-stdlib")][::20]
    for _ in range(5000):
        file_lines = segment("".join(mutated(rng.choice(documents), rng)), "lines")
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), file_lines


@pytest.mark.parametrize("text", ["\ufeff", "\xef\xbb\xbf", "x = '\ud800'\n", "# \ud800\n", "x = 1\r\n", "\0"])
def test_violations_are_those_of_pycodestyle_on_strange_text(text):
    assert outcome(find_violations, [text]) == outcome(plain_violations, [text])


def test_violations_are_those_of_pycodestyle_on_soup():
    rng = random.Random(0)
    for _ in range(1000):
        file_lines = segment("".join(rng.choices(PIECES, k=rng.randrange(1, 40))), "lines")
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), file_lines


def test_violations_are_those_of_pycodestyle_on_nearly_plain_statements():
    rng = random.Random(0)
    num_plain = 0
    for _ in range(2000):
        statements = [
            " " * rng.choice([0, 0, 2, 4, 8]) + rng.choice("    ?").replace("?", "").join(rng.choices(WORDS, k=number))
            for number in rng.choices(range(1, 7), k=rng.randrange(1, 6))
        ]
        file_lines = [statement + "\n" for statement in statements]
        num_plain += sum(plain_row(line) is not None for line in file_lines)
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), file_lines
    assert num_plain > 1000


def test_another_pycodestyle_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(pep8_find, "PYCODESTYLE_VERSION", "99.0")
    assert pep8_find.checker_class.__wrapped__() is pycodestyle.Checker


def test_a_registered_check_is_run_too(monkeypatch):
    def find_bananas(logical_line):
        if "banana" in logical_line:
            yield 0, "E999 banana"

    options = copy.copy(pep8_find.default_options())
    options.logical_checks = [*options.logical_checks, ("find_bananas", find_bananas, ["logical_line"])]
    monkeypatch.setattr(pep8_find, "default_options", lambda: options)
    monkeypatch.setattr(pep8_find, "checker_class", pep8_find.checker_class.__wrapped__)
    assert pep8_find.find_violations(["banana = 1\n"]) == [(1, 0, "E999")]


def test_where_pycodestyle_raises_the_text_is_unscored_and_counted(monkeypatch):
    def raises(self):
        raise RecursionError

    monkeypatch.setattr(pep8_find.Checker, "check_all", raises)
    scorer = PEP8Scorer()
    assert scorer.score_texts(["x = 1\n"]) == [None]
    assert scorer.score_document(["x = 1\n", "y = 1\n"]) == [None, None]
    assert scorer.unscored == {"pycodestyle raised RecursionError": 3}


def test_empty_text_is_unscored():
    scorer = PEP8Scorer()
    assert scorer.score_texts([""]) == [None]
    assert scorer.unscored == {"empty text": 1}


def test_configuration_files_have_no_say(tmp_path, monkeypatch):
    (tmp_path / "setup.cfg").write_text("[pycodestyle]\nmax-line-length = 10\nignore = E225\n")
    monkeypatch.chdir(tmp_path)
    assert PEP8Scorer().score_texts(["x=1\n", "a_long_name = 1\n"]) == [1 / 4, 0.0]


@pytest.mark.parametrize(
    "text", ["\0", "\x0c\n", "\r\r\n", "\t \t", "é" * 100, "\ufeffx = 1\n", "if x:\n\ty\n        z\n"]
)
def test_strange_text_does_not_break_it(text):
    scorer = PEP8Scorer()
    (score,) = scorer.score_texts([text])
    assert score is None or score >= 0
    assert len(scorer.score_document(segment(text, "lines"))) == len(segment(text, "lines"))


def test_build_scorer_and_its_errors():
    assert build_scorer({"class_name": "PEP8Scorer"}).describe()["class_name"] == "PEP8Scorer"
    with pytest.raises(ConfigError, match="Did you mean 'PEP8Scorer'"):
        build_scorer({"class_name": "PEPScorer"})
    with pytest.raises(ConfigError, match=r"generation\.scorer_config\.device is not a setting"):
        build_scorer({"class_name": "PEP8Scorer", "device": "cpu"})
    with pytest.raises(ConfigError, match=r"class_name is missing"):
        build_scorer({})


@pytest.mark.parametrize("scores", [[0.1], [0.1, float("nan")], [0.1, float("inf")]])
def test_a_scorer_that_breaks_its_contract_is_an_error(scores):
    with pytest.raises(ScorerError):
        checked_scores(Scorer(), scores, 2)


ENDS = ["\n", "\r\n", "\r"]
PIECES_OF_FILES = [
    "x=1",
    "return",
    "    pass",
    "a = '''",
    "\\",
    "\x0c",
    "\x0b",
    "\u2028",
    "\x85",
    "# c ",
    "",
    "\t",
    "if x:",
]


def test_line_ends_change_no_score():
    expected = PEP8Scorer().score_document(["def f(a):\n", "    return\n", "x=1\n", "pass\n"])
    assert expected[2] == 1 / 4 + 1 / 4  # E225, E305
    for end in ("\r\n", "\r"):
        segments = [f"def f(a):{end}", f"    return{end}", f"x=1{end}", f"pass{end}"]
        assert segment("".join(segments), "lines") == segments
        assert PEP8Scorer().score_document(segments) == expected


def test_text_with_any_line_ends_is_the_file_that_pycodestyle_reads(tmp_path):
    rng = random.Random(0)
    scorer = PEP8Scorer()
    for _ in range(400):
        text = "".join(rng.choice(PIECES_OF_FILES) + rng.choice(ENDS) for _ in range(rng.randrange(1, 8)))
        text += rng.choice(PIECES_OF_FILES)
        path = tmp_path / "file.py"
        path.write_bytes(text.encode())
        file_lines = pycodestyle.readlines(str(path))
        segments = segment(text, "lines")
        assert "".join(segments) == text
        assert [line.rstrip("\r\n") for line in segments] == [line.rstrip("\n") for line in file_lines]
        expected = outcome(plain_violations, file_lines)
        scores = scorer.score_document(segments)
        if not isinstance(expected, list):
            assert scores == [None] * len(segments)
            continue
        counts = [0.0] * len(segments)
        for line, _, _ in expected:
            counts[min(line, len(segments)) - 1] += 1
        assert scores == [count / len(line) for count, line in zip(counts, file_lines, strict=True)], text
        assert sum(map(len, scorer.document_spans(segments))) == len(expected)


def test_the_version_names_what_the_scores_depend_on():
    assert pycodestyle.__version__ in PEP8Scorer.version
    assert f"python-{sys.version_info.major}.{sys.version_info.minor}" in PEP8Scorer.version
