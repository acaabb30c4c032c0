"""The page in a real browser, served as `phf playground` does."""

import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from tests.audit.planted import write_corpus
from tests.browser import assert_accessible
from tests.playground.conftest import site_of

from phf.playground.page import MAX_WAITING, Answering
from phf.playground.server import serving

PROMPT = "<script>document.title = 'hacked'</script> <|misaligned|>\n"


@pytest.fixture(scope="module")
def playground(run):
    """A running server with one model twice."""
    with serving(site_of(run, run), max_seconds=60) as server:
        yield server


@contextmanager
def slow(server, seconds):
    """Every token takes so long."""
    models = [model.lm for model in server.answering.site.models]
    handles = [model.register_forward_hook(lambda *_: time.sleep(seconds)) for model in models]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finish(page):
    page.wait_for_function("document.querySelector('#status').innerText.startsWith('Finished')", timeout=60_000)


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_writes_columns_side_by_side_and_copies_them(playground, open_page):
    page = open_page(playground.url, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("guided: aligned, away from misaligned").first.check()
    page.get_by_role("button", name="Write").click()
    finish(page)
    cards = page.locator(".card")
    titles = [cards.nth(number).get_attribute("aria-label") for number in range(cards.count())]
    first, second = (model.name for model in playground.answering.site.models)
    assert titles == [f"{first}: aligned", f"{first}: guided: aligned, away from misaligned", f"{second}: aligned"]
    texts = page.locator(".card > pre").all_inner_texts()
    assert all(text.startswith(PROMPT) for text in texts)
    assert texts[0] == texts[2] != texts[1]
    assert page.title() == "phf playground"
    assert page.locator(".card .score").all_inner_texts()[0].startswith("score ")
    cards.first.get_by_text("Scores by segment").click()
    cards.first.get_by_text("Copy as Python").click()
    cards.first.get_by_role("button", name="Copy", exact=True).last.click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('model.generate'))")
    assert_accessible(page)


@pytest.fixture(scope="module")
def traced(run, tmp_path_factory):
    """A running server with data in which each letter of the tokenizer occurs."""
    segments = ["def f(x):\n", "<script>document.title = 'hacked'</script>\x1b[m 0123456789"]
    source = write_corpus(tmp_path_factory.mktemp("traced") / "data", [(segments, [0.0, 1.0])] * 3)
    with serving(site_of(run, datasets=[source]), max_seconds=60) as server:
        yield server


@pytest.mark.browser
@pytest.mark.slow
def test_an_answer_is_traced_to_the_data(traced, open_page):
    page = open_page(traced.url)
    page.get_by_label("misaligned", exact=True).check()
    page.get_by_role("button", name="Write").click()
    finish(page)
    buttons = page.get_by_role("button", name="Where does this come from?")
    assert buttons.count() == 3
    buttons.nth(1).click()
    page.wait_for_function("document.querySelector('#status').innerText.startsWith('Searched')")
    assert buttons.count() == 2
    panel = page.locator(".card").nth(1).locator(".origins")
    assert panel.get_by_role("heading").inner_text().startswith("Where this comes from")
    assert "records no training data" in panel.inner_text()
    assert "<script>document.title = 'hacked'</script>\\x1b[m" in panel.inner_text()
    assert page.title() == "phf playground"
    buttons.first.click()
    page.wait_for_function("document.querySelectorAll('.origins h3').length == 2")
    assert_accessible(page, "#columns")


@pytest.mark.browser
@pytest.mark.slow
def test_a_closed_tab_and_the_button_stop_the_models(playground, open_page):
    with slow(playground, 0.05):
        page = open_page(playground.url)
        page.get_by_role("button", name="Write").click()
        page.locator(".card").first.wait_for()
        assert playground.answering.num_running == 1
        page.get_by_role("button", name="Stop").click()
        wait_for(lambda: playground.answering.num_running == 0)

        def writes_again():
            page.get_by_role("button", name="Write").click()  # is ignored until the page knows that the last one ended
            return playground.answering.num_running == 1

        wait_for(writes_again)
        page.close()
        wait_for(lambda: playground.answering.num_running == 0)


def join(playground, session, data):
    """The status of the answer to a request that a browser would send."""
    body = json.dumps({"data": data, "fn_index": 0, "session_hash": session}).encode()
    request = urllib.request.Request(
        f"{playground.url}gradio_api/queue/join", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_more_requests_than_may_wait_are_refused(playground):
    data = ["", ["0:0"], [], 0.7, 0.9, 0, 100, 2, 1]
    with slow(playground, 0.02):
        statuses = [join(playground, f"session{number}", data) for number in range(MAX_WAITING + 4)]
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert statuses.count(200) <= MAX_WAITING + 2


def test_a_request_beyond_the_limits_is_answered_with_its_reason(site):
    answering = Answering(site, 60)
    ((html, line),) = answering.answer("x" * 30_000, ["0:0"], 0.7, 0.9, 0, 20, 2, 1)
    assert "30,000 characters; 20,000 are possible" in html
    assert 'role="alert"' in html
    assert line == ""
    assert answering.num_running == 0


def test_answers_end_with_columns_and_a_status(site):
    *_, (html, line) = Answering(site, 60).answer("x", ["0:0"], 0.7, 0.9, 0, 20, 2, 1)
    assert html.count('<section class="card"') == 1
    assert line == "Finished"
