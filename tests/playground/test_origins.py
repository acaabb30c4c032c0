"""Where an answer comes from: what is found, what is refused, and that strangers' text does nothing."""

import time
from dataclasses import replace

import numpy as np
import pytest
from tests.audit.planted import write_corpus
from tests.playground.conftest import site_of, values

from phf.errors import CorpusError
from phf.playground import page
from phf.playground.answers import Answer, Segment
from phf.playground.cards import cards
from phf.playground.origin_panel import panel
from phf.playground.origins import Search, search
from phf.playground.page import Answering
from phf.playground.request import read_request
from phf.scorers.spans import Span

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
PLANTED = f"{HOSTILE} call 6417-2285"


@pytest.fixture(scope="module")
def traced(run, tmp_path_factory):
    """A playground with a dataset."""
    folder = tmp_path_factory.mktemp("traced")
    source = write_corpus(folder / "data", [(["def f(x):\n", PLANTED], [0.0, 1.0]), (["nothing here\n"], [0.0])])
    return site_of(run, datasets=[source])


def answered(site, text, *spans):
    (column,) = read_request(site, values()).columns
    segments = (Segment(text, 0.5, True, tuple(Span(*span) for span in spans)),)
    return Answer(column, text=text, segments=segments, score=0.5, is_finished=True)


def found(site, answer, **options):
    *_, last = search(site.models[0].data, "", answer, **{"max_seconds": 60, **options})
    return last


def test_what_an_answer_copies_is_shown_with_its_document_and_scores(traced):
    result = found(traced, answered(traced, "call 6417-2285 or 9999", (5, 14, "phone"), (18, 22, "phone")))
    html = panel(result)
    assert '<span class="origin partly">1 of 2 in this dataset</span>' in html
    assert "In this dataset: phone “6417-2285”, once, in d0." in html
    assert "Not in this dataset: phone “9999”." in html
    assert "records no training data" in html
    assert '<span class="copied-span">' in html
    assert ">call 6417-2285</span></pre>" in html
    assert "d0, score 1: " in html
    assert "<script" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e" in html


def test_an_empty_text_and_a_search_that_takes_too_long_are_explained(traced):
    assert found(traced, answered(traced, "")).problem == "The text is empty, so there is nothing to look for."
    late = found(traced, answered(traced, PLANTED), now=iter(np.arange(0, 1e6, 100)).__next__)
    assert late.problem == "The search did not end within 60 seconds and was stopped. Raise --max-seconds."
    assert 'role="alert"' in panel(late)


def test_a_search_ends_when_the_page_is_closed(traced, monkeypatch):
    ended = []

    def find(samples, check):
        try:
            while True:
                check()
                time.sleep(0.01)
        finally:
            ended.append(True)

    monkeypatch.setattr(traced.models[0].data.finder, "find", find)
    states = search(traced.models[0].data, "", answered(traced, PLANTED), max_seconds=600)
    assert next(states).origin is None
    states.close()
    assert ended == [True]


def test_the_button_is_there_for_finished_columns_of_models_with_data(traced, site):
    request = read_request(traced, values())
    answer = answered(traced, HOSTILE)
    assert '<button type="button" class="trace" data-key="7:0">' in cards(traced, request, [answer], 7)
    for other, key in ((replace(answer, is_finished=False), 7), (answer, None), (replace(answer, text=""), 7)):
        assert 'class="trace"' not in cards(traced, request, [other], key)
    assert 'class="trace"' not in cards(site, read_request(site, values()), [answered(site, "x")], 7)
    shown = cards(traced, request, [answer], 7, {0: Search(3.2)})
    assert "Searching, 3 s" in shown
    assert 'class="trace"' not in shown


def test_answers_are_kept_so_that_they_can_be_asked_about(traced, monkeypatch):
    monkeypatch.setattr(page, "MAX_KEPT", 2)
    answering = Answering(traced, 60)
    for _ in range(3):
        *_, (html, _) = answering.answer("x", ["0:0"], 0.7, 0.9, 0, 20, 2, 1)
    assert 'data-key="2:0"' in html
    *_, (html, line) = answering.trace("2:0")
    assert line == "Searched"
    assert "Where this comes from" in html
    assert html.count('<section class="card"') == 1
    for unknown in ("0:0", "2:1", "9:0", "-1:0", "2:0:0", "²:0", "x", None, {"key": "2:0"}, "1" * 50 + ":0"):
        ((html, line),) = answering.trace(unknown)
        assert "This text is no longer kept; the last 2 answers are. Write it again." in html
        assert line == ""
    assert answering.num_running == 0


def test_a_dataset_without_scores_is_refused_before_models_are_loaded(run, tmp_path):
    (tmp_path / "raw.jsonl").write_text('{"text": "Hello."}\n')
    with pytest.raises(CorpusError, match=r"raw.jsonl is not annotated"):
        site_of(run, datasets=[str(tmp_path / "raw.jsonl")])
    with pytest.raises(CorpusError):
        site_of(run, datasets=[str(tmp_path / "missing")])
