"""Pages of every other kind in Chromium, with hostile names, and what axe-core says about them."""

import pytest
from tests.browser import assert_accessible
from tests.report.kinds_of_pages import SHOWN, audit, profile, refresh, report, study, tamper

pytestmark = pytest.mark.browser


KINDS = {report: 4, study: 5, tamper: 2, refresh: 3, profile: 2, audit: 0}
"""Each kind -> number of its charts."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_hostile_names_are_text_and_the_page_is_accessible(kind, tmp_path, open_page):
    page = open_page(kind(tmp_path))
    assert SHOWN in page.locator("main").inner_text()
    assert page.title().startswith("phf ")
    charts = page.locator("svg.chart")
    assert charts.count() == KINDS[kind]
    for chart in charts.all():
        assert chart.locator("[data-points]").count() >= 1
    if charts.count():
        charts.first.locator("[data-points]").first.focus()
        assert page.locator(".tip").is_visible()
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert_accessible(page)


def first_column(page, label):
    rows = page.get_by_role("group", name=label, exact=True).locator("tbody tr")
    return [text.strip() for text in rows.locator(":scope > :first-child").all_inner_texts()]


def test_a_table_is_sorted_by_any_column_and_back(tmp_path, open_page):
    page = open_page(study(tmp_path))
    before = first_column(page, "Methods")
    head = page.get_by_role("group", name="Methods", exact=True).get_by_role("columnheader", name="Score")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    names = first_column(page, "Methods")
    assert sorted(names[:2]) == ["conditional", "conditional-from-90"]  # both 0.11
    assert names[2] == "conditional-from-50"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert first_column(page, "Methods")[3] == "conditional-from-50"
    head.get_by_role("button").click()
    assert first_column(page, "Methods") == before


def test_print_is_dark_on_white_whatever_the_screen(tmp_path, open_page):
    page = open_page(study(tmp_path), colours="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg.chart text')).fill"
    assert page.evaluate(paper) != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate(ink) == "rgb(75, 85, 101)"
