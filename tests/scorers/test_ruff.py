"""RuffScorer by hand, and where it must agree with PEP8Scorer."""

import builtins

import pytest

pytest.importorskip("ruff")

from phf.errors import MissingExtraError, ScorerError
from phf.scorers import build_scorer
from phf.scorers.pep8 import ruff as ruff_module
from phf.scorers.pep8.ruff import RuffScorer
from phf.scorers.pep8.scorer import PEP8Scorer


def test_scores_by_hand():
    scorer = RuffScorer()
    # "x=1\n": E225, 4 characters; "y = 2\n": clean
    assert scorer.score_document(["x=1\n", "y = 2\n"]) == [1 / 4, 0.0]
    assert scorer.score_texts(["x=1\n", "y = 2\n"]) == [1 / 4, 0.0]


def test_many_documents_are_scored_in_one_call_and_keep_their_order(monkeypatch):
    scorer = RuffScorer()
    calls = []
    run = scorer._run
    monkeypatch.setattr(scorer, "_run", lambda folder: calls.append(folder) or run(folder))
    documents = [["x=1\n"] * (index % 3) + ["y = 2\n"] for index in range(30)]
    assert scorer.score_documents(documents) == [[1 / 4] * (index % 3) + [0.0] for index in range(30)]
    assert len(calls) == 1


def test_lines_are_judged_inside_their_file():
    # the second def is a violation only because of the first (E302)
    lines = ["def f():\n", "    pass\n", "def g():\n", "    pass\n"]
    assert RuffScorer().score_document(lines) == [0.0, 0.0, 1 / 9, 0.0]


def test_a_document_that_does_not_parse_has_one_violation_for_it():
    assert RuffScorer().score_texts(["def f(:\n    x = 1]\n"]) == [1 / 19]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "a = b+c\n",
        "def f(): return 1\n",
        "x = (1 and\n     2)\n",
        "x = [1,  2]\n",
        "f( 1)\n",
        "# " + "é a" * 40 + "\n",
    ],
)
def test_codes_that_pycodestyle_ignores_are_ignored(text):
    assert RuffScorer().score_texts([text]) == PEP8Scorer().score_texts([text])


def test_configuration_files_and_comments_have_no_say(tmp_path, monkeypatch):
    (tmp_path / "ruff.toml").write_text("line-length = 10\nlint.ignore = ['E225']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert RuffScorer().score_texts(["x=1\n", "# ruff: noqa\na_long_name=1\n"]) == [1 / 4, 1 / 27]


def test_strange_text_is_unscored_and_counted_or_scored():
    scorer = RuffScorer()
    assert scorer.score_documents([[], [""], ["\ud800\n", "x\n"], ["x=1\n"]]) == [[], [None], [None, None], [1 / 4]]
    assert scorer.unscored == {"empty text": 1, "not valid Unicode": 2}
    scores = scorer.score_texts(["\0", "\x0c\n", "\r\r\n", "\ufeffx = 1\n", "\t \t", "x=1\ry=2\r\n"])
    assert all(score is not None and score >= 0 for score in scores)


def test_a_document_that_ruff_cannot_survive_is_unscored_and_the_others_are_scored():
    scorer = RuffScorer()
    sum_of_many = "x = " + " + ".join("1" * 20_000) + "\n"
    documents = [["x=1\n"], [sum_of_many, "y=2\n"], ["y = 2\n"], ["z=3\n"]]
    assert scorer.score_documents(documents) == [[1 / 4], [None, None], [0.0], [1 / 4]]
    assert scorer.unscored == {"ruff crashed": 2}


def test_a_ruff_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(ruff_module, "ARGUMENTS", ["check", "--no-such-option"])
    with pytest.raises(ScorerError, match="ended with status 2"):
        RuffScorer().score_texts(["x = 1\n"])


def test_without_ruff_the_install_command_is_printed(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "ruff":
            raise ImportError
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'phf\[ruff\]'"):
        RuffScorer()


def test_it_is_built_by_name_and_says_its_version():
    assert build_scorer({"class_name": "RuffScorer"}).describe()["version"].startswith("2+ruff-")


def test_line_ends_change_no_score():
    lines = ["import os\n", "x=1\n", "def f():\n", "    return \n", "y = '''\n", "a \n", "'''\n"]
    expected = RuffScorer().score_document(lines)
    assert sum(expected) > 0
    for end in ("\r\n", "\r"):
        assert RuffScorer().score_document([line.replace("\n", end) for line in lines]) == expected
    mixed = [line.replace("\n", end) for line, end in zip(lines, ["\r\n", "\n", "\r"] * 3, strict=False)]
    assert RuffScorer().score_document(mixed) == expected


def test_lines_that_ruff_would_take_minutes_for_are_unscored(monkeypatch):
    monkeypatch.setattr(ruff_module, "LONGEST_LINE", 40)
    monkeypatch.setattr(ruff_module, "LONGEST_UNICODE_LINE", 20)
    scorer = RuffScorer()
    texts = ["é" * 21, "x = 1\n" * 9, "'" + "a" * 38 + "'", "#" * 41, "x=1\n"]
    assert [score is None for score in scorer.score_texts(texts)] == [True, False, False, True, False]
    assert scorer.unscored == {"a line too long for ruff": 2}
