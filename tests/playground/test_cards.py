"""The columns as HTML: strangers' text is shown and nothing else."""

from dataclasses import replace

from tests.playground.conftest import values

from phf.playground.answers import Answer, Segment
from phf.playground.cards import cards, problem, status
from phf.playground.request import read_request
from phf.scorers.spans import Span

HOSTILE = "</pre><script>alert(1)</script>\x1b[31m\u202e&amp;"
SHOWN = "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e&amp;amp;"


def html_of(site, prompt="def f(x):\n", **answer):
    request = read_request(site, values(prompt=prompt))
    (column,) = request.columns
    return cards(site, request, [Answer(column, **answer)])


def test_hostile_text_is_escaped_and_made_visible_everywhere(site):
    segments = (Segment(HOSTILE, 0.5, True, (Span(0, 3, "<b>label</b>"),)),)
    html = html_of(site, HOSTILE, text=HOSTILE, segments=segments, score=0.5, is_finished=True, problem=HOSTILE)
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "<b>" not in html
    assert SHOWN in html


def test_segments_are_marked_by_their_scores(site):
    segments = (
        Segment("good\n", 0.1, True),
        Segment("bad\n", 0.25, True, (Span(0, 3, "E501"),)),
        Segment("none\n", None, True),
        Segment("open", None, False),
    )
    html = html_of(site, text="...", segments=segments)
    assert '<span class="good" title="score 0.1">good\n</span>' in html, "the threshold itself is aligned"
    assert '<span class="bad" title="score 0.25"><u title="E501">bad</u>\n</span>' in html
    assert '<span class="unscored" title="unscored">none\n</span>open</pre>' in html
    assert "writing" in html
    assert "Copy" not in html


def test_overlapping_detections_are_underlined_once(site):
    spans = (Span(0, 4, "email"), Span(2, 6, "name"), Span(6, 6, "empty"))
    html = html_of(site, text="abcdefgh", segments=(Segment("abcdefgh", 1.0, True, spans),), is_finished=True)
    assert '<u title="email">abcd</u>efgh' in html


def test_a_finished_column_has_its_score_a_table_and_what_it_can_be_copied_as(site):
    html = html_of(site, text="x", segments=(Segment("x", 0.0, True),), score=0.0, is_finished=True)
    assert '<span class="score good">score 0</span>' in html
    for name in ("Scores by segment", "Copy as phf evaluate", "Copy as phf score", "Copy as Python"):
        assert name in html


def test_a_cut_column_says_so_and_has_no_command_that_would_draw_more(site):
    html = html_of(site, text="x", segments=(Segment("x", 0.0, True),), score=0.0, is_finished=True, is_cut=True)
    assert "Time was up" in html
    assert "Copy as phf evaluate" not in html


def test_texts_are_shown_without_scores_where_nothing_scores_them(site):
    html = html_of(replace(site, scorer=None), text="x", segments=(Segment("x"),), is_finished=True)
    assert 'class="score' not in html
    assert "Scores by segment" not in html
    assert "phf score" not in html
    assert "Copy as Python" in html


def test_the_status_counts_finished_columns(site):
    (column,) = read_request(site, values()).columns
    done, going = Answer(column, is_finished=True), Answer(column)
    assert status([done, going]) == "Writing 2 columns, 1 finished"
    assert status([going]) == "Writing 1 column, 0 finished"
    assert status([done, done]) == "Finished"
    assert status([replace(done, problem="x")]) == "Finished, with a problem"
    assert problem("<x>") == '<p class="problem" role="alert">&lt;x&gt;</p>'
