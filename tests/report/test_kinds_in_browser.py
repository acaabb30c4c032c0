"""Pages of every other kind in Chromium, with hostile names, and what axe-core says about them."""

import pytest
from tests.browser import assert_accessible
from tests.report.kinds_of_pages import SHOWN, audit, profile, refresh, study, tamper

pytestmark = pytest.mark.browser


KINDS = {study: 5, tamper: 2, refresh: 3, profile: 2, audit: 0}
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
    assert_accessible(page)
