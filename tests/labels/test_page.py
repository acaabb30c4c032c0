"""The page of `phf label` in a real browser."""

import json

import pytest
from tests.browser import assert_accessible
from tests.labels.conftest import HOSTILE, wait_until_meant

from phf.labels.questions import question_key
from phf.labels.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def answers(tmp_path):
    """The answers that are saved: ratings, or True for skipped."""
    path = tmp_path / "labels.jsonl"

    def read():
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [json.loads(line).get("rating", True) for line in lines]

    return read


def press(page, key):
    """Answer the question after somebody has had the time to read it; returns when the next page is there."""
    wait_until_meant(page)
    with page.expect_navigation():
        page.keyboard.press(key)


@pytest.mark.parametrize("gap", [0, 150])
def test_a_double_click_or_a_key_pressed_twice_answers_one_question(session, answers, open_page, gap):
    with serving(session()) as server:
        page = open_page(server.url)
        place = page.get_by_role("button", name="3").bounding_box()
        where = (place["x"] + 5, place["y"] + 5)
        wait_until_meant(page)
        page.mouse.click(*where)
        page.wait_for_timeout(gap)
        page.mouse.click(*where)
        wait_until_meant(page)
        assert answers() == [3]
        page.keyboard.press("4")
        page.wait_for_timeout(gap)
        page.keyboard.press("4")
        wait_until_meant(page)
        assert answers() == [3, 4]
        press(page, "s")
        assert answers() == [3, 4, True]


def test_a_second_answer_in_another_tab_is_not_saved_and_the_page_says_so(session, answers, open_page):
    with serving(session()) as server:
        one, other = open_page(server.url), open_page(server.url)
        press(one, "1")
        press(other, "5")
        assert other.get_by_role("alert").inner_text() == "The last answer was not saved: its text has one already."
        assert_accessible(other)
        press(other, "5")
        assert answers() == [1, 5]
        assert other.get_by_role("alert").count() == 0
        one.reload()
        assert one.get_by_text("2 of 10 answered").is_visible()
        open_page.faults[:] = [fault for fault in open_page.faults if "409" not in fault]


def test_the_earlier_question_cannot_be_answered_again_by_going_back(session, answers, open_page):
    with serving(session()) as server:
        page = open_page("about:blank")
        page.goto(server.url)
        open_page.faults.clear()  # the request for another page than about:blank
        first = page.locator("pre").inner_text()
        press(page, "2")
        page.go_back()
        if page.url == "about:blank":
            page.go_forward()
        assert page.locator("pre").inner_text() != first
        press(page, "3")
        assert answers() == [2, 3]
        open_page.faults.clear()


def test_a_hostile_text_is_read_and_answered_by_keys_alone(session, answers, open_page):
    asked = session(count=100)
    hostile = question_key([HOSTILE])
    asked._left = [question for question in asked._left if question.key == hostile]
    with serving(asked) as server:
        page = open_page(server.url)
        text = page.get_by_role("group", name="Text")
        assert text.inner_text() == "</pre><script>alert(1)</script>\\x1b[31m\\u202e & [bold]"
        assert_accessible(page)
        page.keyboard.press("Tab")
        assert text.evaluate("one => one === document.activeElement")
        for _ in range(5):
            page.keyboard.press("Tab")
        press(page, "Enter")
        assert answers() == [5]
        assert page.title() == "All questions are answered"
        assert_accessible(page)
