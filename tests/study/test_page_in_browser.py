"""The page of a study in Chromium, and what axe-core says about it."""

import pytest
from tests.browser import assert_accessible
from tests.study.test_page import written  # noqa: F401

pytestmark = pytest.mark.browser


def test_the_answer_is_shown_and_accessible(written, open_page):  # noqa: F811
    page = open_page(written / "report.html")
    assert page.title().startswith("phf study")
    assert "<script>alert(1)</script> \\x1b[31m" in page.locator("main").inner_text()
    assert page.locator("svg.chart").count() == 1
    assert page.locator("svg.chart [data-points]").count() == 2
    assert_accessible(page)
