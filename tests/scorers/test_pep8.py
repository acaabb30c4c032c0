"""PEP8Scorer against pycodestyle itself and by hand."""

import copy
import keyword
import random
from collections.abc import Callable

import pycodestyle
import pytest

from phf.data.segment import segment
from phf.data.sources import read_documents
from phf.errors import ConfigError, ScorerError
from phf.scorers import Scorer, build_scorer, checked_scores, pep8_checker
from phf.scorers.pep8 import PEP8Scorer
from phf.scorers.pep8_checker import find_violations
from phf.scorers.pep8_plain import plain_row

PIECES = [
    *"()[]{}:;,.=+-*/%@&|^<>!~'\"\\#\t\n\r\x0c lOI01x ",
    *("  ", " = ", "==", "!=", " in ", " is ", "not ", "or", "lambda ", "def ", "class ", "if ", "else:", "except:"),
    *(
        "import a, b",
        "from ",
        "return",
        "None",
        "type(",
        "# noqa",
        "#x",
        "# ",
        "\n\n\n",
        "\n    ",
        "\n        ",
        "\\\n",
    ),
    *(
        "'''",
        '"""',
        "f'{",
        "rb'",
        "\xa0",
        "é",
        "²",
        "\x00",
        "\u2028",
        "\ufeff",
        "await ",
        "yield",
        "match ",
        "**",
        "->",
    ),
    *(
        ":=",
        "0x",
        "1e5",
        "x=1",
        "if(",
        "in(",
        ")in",
        "(*args)",
        "(a=1)",
        "(a = 1)",
        "[a=1]",
        " (",
        " [",
        "f(lambda: x)",
    ),
    *("x.l", "global l", "as l", "@ x", "if x:", "x = y(z)\n", "# comment\n", "return x\n", "x = 'a b'\n"),
]
"""What breaks code in ways that checks care about."""


WORDS = [
    *keyword.kwlist,
    *("x", "foo", "self.a", "l", "I", "O", "1", "0", "10", "'a_b'", '""', "print", "type", "x.y()", "f(a)", "f(a=1)"),
    *("f(*a)", "g(**k)", "[1]", "{}", "()", "[x]", "x[0]", "a,", "b:", "a=b", "=1", "=", "==", "!=", "+", "-", "->"),
    *(":=", "*", "**", ">", "<", "@", "&", "(a", "b)", "[a", "b]", "{a", "b}", "f(", "g[", ".x", "x.", "x.l", "x.in"),
    *(
        "in.x",
        "f(l)",
        "f(l=1)",
        "is:",
        "in,",
        "if:",
        "f()[0]",
        "f(a, b=c)",
        "f(x in y)",
        "f(not x)",
        "f(a)(b)",
        "'a b'.c",
    ),
]
"""What plain statements, and some that are not quite plain, are made of."""
OPTIONS = pycodestyle.StyleGuide(quiet=True).options


def plain_violations(file_lines: list[str]) -> list[tuple[int, int, str]]:
    """What the plain use of pycodestyle finds: a fresh Checker and report, default options."""
    found = []

    class Report(pycodestyle.BaseReport):
        def error(self, line_number, offset, text, check):
            if super().error(line_number, offset, text, check):
                found.append((line_number, offset, text[:4]))

    pycodestyle.Checker(lines=list(file_lines), options=OPTIONS, report=Report(OPTIONS)).check_all()
    return found


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
        text = rng.choice(documents)
        start = rng.randrange(max(1, len(text) - 400))
        text = text[start : start + rng.choice([100, 400])]
        for _ in range(rng.choice([0, 1, 2, 5, 20])):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(PIECES) + text[at + rng.choice([0, 0, 1, 5]) :]
        file_lines = segment(text, "lines")
        assert outcome(find_violations, file_lines) == outcome(plain_violations, file_lines), text


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


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("    x = f(a, b=1)\n", (4, "x = f(a, b=1)")),
        ("if x > 'a':\n", (0, "if x > 'x':")),
        ("return\n", (0, "return")),
        ("x=1\n", None),
        ("x = 1", None),
        ("x = (1)\n", (0, "x = (1)")),
        ("f(a = 1)\n", None),
        ("f[a=1]\n", None),
        ("f(a))\n", None),
        ("return(x)\n", None),
        ("f(x in(y))\n", None),
        ("if x is:\n", None),
        ("l = 1\n", None),
        ("x = 1  # one\n", (0, "x = 1")),
        ("x (1)\n", None),
    ],
)
def test_plain_statements_are_those_whose_tokens_are_beyond_doubt(line, plain):
    assert plain_row(line) == plain


def test_another_pycodestyle_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(pep8_checker, "PYCODESTYLE_VERSION", "99.0")
    assert pep8_checker.checker_class.__wrapped__() is pycodestyle.Checker


def test_a_registered_check_is_run_too(monkeypatch):
    def find_bananas(logical_line):
        if "banana" in logical_line:
            yield 0, "E999 banana"

    options = copy.copy(pep8_checker._default_options())
    options.logical_checks = [*options.logical_checks, ("find_bananas", find_bananas, ["logical_line"])]
    monkeypatch.setattr(pep8_checker, "_default_options", lambda: options)
    monkeypatch.setattr(pep8_checker, "checker_class", pep8_checker.checker_class.__wrapped__)
    assert pep8_checker.find_violations(["banana = 1\n"]) == [(1, 0, "E999")]


def test_where_pycodestyle_raises_the_text_is_unscored_and_counted(monkeypatch):
    def raises(self):
        raise RecursionError

    monkeypatch.setattr(pep8_checker.Checker, "check_all", raises)
    scorer = PEP8Scorer()
    assert scorer.score_texts(["x = 1\n"]) == [None]
    assert scorer.score_document(["x = 1\n", "y = 1\n"]) == [None, None]
    assert scorer.unscored == {"pycodestyle raised RecursionError": 2}


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
