"""What scorers found, by hand: `phf score` and the spans behind it."""

import json

import pytest
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.errors import ScorerError
from phf.scorers import Scorer, build_scorer
from phf.scorers.base import checked_spans
from phf.scorers.explain import explain, spans_of
from phf.scorers.pep8.scorer import PEP8Scorer
from phf.scorers.spans import Span


class CapitalsScorer:
    """A user's own scorer that shows what it found."""

    def score_texts(self, texts):
        return [sum(map(str.isupper, text)) / len(text) if text else None for text in texts]

    def spans(self, text):
        return [(index, index + 1, "capital") for index, letter in enumerate(text) if letter.isupper()]


def phf(*arguments, stdin=None):
    return CliRunner().invoke(cli.app, ["score", *arguments], input=stdin)


def test_pii_says_which_detector_fired():
    pytest.importorskip("scrubadub")
    scorer = build_scorer({"class_name": "PIIScorer", "spacy_model": "none"})
    explanation = explain(scorer, "Fine. look at this. Call +49 30 901820.")
    assert [(segment.start, segment.text) for segment in explanation.segments] == [
        (0, "Fine. "),
        (6, "look at this. "),
        (20, "Call +49 30 901820."),
    ]
    assert [segment.spans for segment in explanation.segments] == [[], [Span(0, 12, "email")], [Span(5, 18, "phone")]]
    assert explanation.avg_score == pytest.approx((0 + 1 / 14 + 1 / 19) / 3)


def test_violations_are_shown_where_they_are_whatever_ends_the_lines():
    lines = ["x=1\r\n", "y = 2\r", "if x :\n", "    pass\n"]
    spans = spans_of(PEP8Scorer(), lines)
    assert spans == [[Span(1, 2, "E225")], [], [Span(4, 5, "E203")], []]
    assert PEP8Scorer().spans("".join(lines)) == [Span(1, 2, "E225"), Span(15, 16, "E203")]


def test_ruff_shows_the_places_that_pycodestyle_shows():
    pytest.importorskip("ruff")
    scorer = build_scorer({"class_name": "RuffScorer"})
    assert spans_of(scorer, ["x=1\r\n", "y = (1 ,)\r\n"]) == [[Span(1, 2, "E225")], [Span(6, 7, "E203")]]
    assert spans_of(scorer, ["def f(:\n"])[0][0].label == "syntax error"


def test_presidio_shows_entity_types():
    pytest.importorskip("presidio_analyzer")
    scorer = build_scorer({"class_name": "PresidioScorer"})
    assert Span(11, 30, "CREDIT_CARD") in scorer.spans("My card is 4111 1111 1111 1111.")


def test_a_composite_shows_each_part_by_name():
    pytest.importorskip("scrubadub")
    parts = [{"class_name": "PEP8Scorer"}, {"class_name": "PIIScorer", "spacy_model": "none"}]
    scorer = build_scorer({"class_name": "CompositeScorer", "scorers": parts})
    segments = ["x=1\n", "# a@b.co\n"]
    assert spans_of(scorer, segments) == [[Span(1, 2, "PEP8Scorer: E225")], [Span(2, 8, "PIIScorer: email")]]
    assert scorer.spans("x=1\n") == [Span(1, 2, "PEP8Scorer: E225")]


def test_nothing_is_shown_in_what_is_unscored(monkeypatch):
    pytest.importorskip("scrubadub")
    scorer = build_scorer({"class_name": "PIIScorer", "spacy_model": "none"})

    def raises(text):
        raise ValueError("hostile")

    monkeypatch.setattr(scorer, "_find", raises)
    explanation = explain(scorer, "Mail a@b.co. Now.")
    assert [(segment.score, segment.spans) for segment in explanation.segments] == [(None, []), (None, [])]
    assert explanation.unscored == {"scrubadub raised ValueError": 2}
    assert explanation.avg_score is None


def test_a_scorer_of_ones_own_may_show_spans(monkeypatch):
    scorer = build_scorer({"class_name": f"{__name__}:CapitalsScorer"})
    assert spans_of(scorer, ["aB", "c"]) == [[Span(1, 2, "capital")], []]
    assert Scorer().spans("text") == []


@pytest.mark.parametrize("spans", [[(0, 9, "x")], [(2, 1, "x")], [(0, 1)], [("0", 1, "x")], 3, "ab", [(-1, 1, "x")]])
def test_spans_that_are_not_spans_of_the_text_are_refused(spans):
    with pytest.raises(ScorerError, match=r"a span is \(start, end, label\) within the text"):
        checked_spans(Scorer(), spans, "text")


def test_phf_score_shows_segments_spans_and_the_mean():
    result = phf("-", "--scorer", "PEP8Scorer", stdin="x=1\r\ny = '\x1b[31m\u202e'\n")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split() == ["0.25", r"x=1\r\n"]
    assert lines[1].strip() == "E225 at 1-2: ="
    assert lines[2].split(maxsplit=1) == ["0", r"y = '\x1b[31m\u202e'\n"]  # nothing reaches the terminal as it is
    assert "2 segments, mean score 0.125" in lines[3]


def test_phf_score_shows_spaces_that_were_found_and_what_scores_a_corpus():
    result = phf("x = 1  ", "--scorer", "PEP8Scorer", "--segment", "lines")
    lines = [line.strip() for line in result.output.splitlines()]
    assert lines[1:3] == ['W291 at 5-6: " "', 'W292 at 6-7: " "']
    assert lines[-1] == (
        "Next: phf annotate CORPUS --scorer PEP8Scorer --segment lines --output FOLDER  (a whole corpus)"
    )


def test_phf_score_speaks_json_in_ascii():
    result = phf("é=1", "--scorer", "PEP8Scorer", "--segment", "document", "--json")
    assert result.stdout.isascii()
    output = json.loads(result.stdout)
    assert output["scorer"]["class_name"] == "PEP8Scorer"
    assert output["segments"] == [
        {
            "start": 0,
            "end": 3,
            "text": "é=1",
            "score": 2 / 3,
            "spans": [
                {"start": 1, "end": 2, "label": "E225", "text": "="},
                {"start": 2, "end": 3, "label": "W292", "text": "1"},
            ],
        }
    ]
    assert output["avg_score"] == 2 / 3
    assert output["unscored"] == {}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["x", "--scorer", "PEPScorer"], None, "Did you mean 'PEP8Scorer'"),
        (["x", "--scorer", "PEP8Scorer", "--segment", "lnes"], None, "no segmenter 'lnes'"),
        (["-", "--scorer", "PEP8Scorer"], b"\xff", "Standard input is not UTF-8"),
    ],
)
def test_phf_score_refuses_what_it_cannot_do(arguments, stdin, message):
    result = phf(*arguments, stdin=stdin)
    assert result.exit_code == 2
    assert message in result.output


def test_phf_score_of_an_empty_text_is_unscored():
    result = phf("", "--scorer", "PEP8Scorer")
    assert result.exit_code == 0
    assert "0 segments, no score" in result.output
