"""PEP8Scorer against pycodestyle itself and by hand."""

import sysconfig
from pathlib import Path

import pycodestyle
import pytest

from phf.data.segment import segment
from phf.data.sources import read_documents
from phf.errors import ConfigError, ScorerError
from phf.scorers import Scorer, build_scorer, checked_scores
from phf.scorers.pep8 import PEP8Scorer


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


@pytest.mark.parametrize("stop", [40, pytest.param(None, marks=pytest.mark.slow)])
def test_violations_are_those_of_pycodestyle_line_by_line(stop):
    root = Path(sysconfig.get_path("stdlib"))
    style = pycodestyle.StyleGuide(parse_argv=False, quiet=2)

    class Lines(pycodestyle.BaseReport):
        def error(self, line_number, offset, text, check):
            if super().error(line_number, offset, text, check):
                found.append(line_number)

    scorer = PEP8Scorer()
    for document in list(read_documents("python-stdlib"))[: stop or 150]:
        found: list[int] = []
        pycodestyle.Checker(str(root / document.id), options=style.options, report=Lines(style.options)).check_all()
        lines = segment(document.text, "lines")
        counts = [
            round((score or 0) * len(line)) for score, line in zip(scorer.score_document(lines), lines, strict=True)
        ]
        expected = [0] * len(lines)
        for number in found:
            expected[min(max(number, 1), len(lines)) - 1] += 1
        assert counts == expected, document.id


def test_where_pycodestyle_raises_the_text_is_unscored_and_counted(monkeypatch):
    def raises(self):
        raise RecursionError

    monkeypatch.setattr(pycodestyle.Checker, "check_all", raises)
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
