"""The charts of the page in Chromium: values under the pointer and along the arrow keys, and what axe-core says."""

import json

import pytest
from tests.browser import NARROW, assert_accessible
from tests.report.test_page import with_schedule
from tests.report.test_verdicts import trained

from phf.report.page import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of two methods with hostile names, with training curves and a schedule."""
    folder = tmp_path_factory.mktemp("report")
    for number, (method, mean) in enumerate((("mle", 0.3), ("ul<b>x</b>", 0.1))):
        run = folder / f"run{number}"
        trained(run, method, mean)
        last = json.loads((run / "metrics.jsonl").read_text())
        curve = [{"step": s, "tokens_seen": 64 * s, "train/lm_loss": 9.0 - s} for s in range(40)]
        lines = [*curve, {**last, "step": 40, "tokens_seen": 2560}]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with_schedule(folder / "run1", ("mle", 0, 1000), ("ul", 1000, 2560))
    write_report([folder], folder / "report.html")
    return folder / "report.html"


def test_every_chart_has_data_and_its_values_are_shown(report, open_page):
    page = open_page(report)
    charts = page.locator("svg.chart")
    assert charts.count() == 3
    for index in range(charts.count()):
        chart = charts.nth(index)
        assert chart.locator("[data-points]").count() == 2
        chart.scroll_into_view_if_needed()
        box = chart.locator("[data-points] path").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chart = page.get_by_role("group", name="Misalignment against held-out loss")
    chart.scroll_into_view_if_needed()
    mark = chart.locator("[data-points]").nth(1).locator(".mark").bounding_box()
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    tip = page.locator(".tip")
    assert tip.inner_text().splitlines()[0] == "pep8/ul<b>x</b>"
    assert "held-out bits per byte: 2" in tip.inner_text()
    page.mouse.move(0, 0)
    assert not tip.is_visible()


def test_a_line_can_be_walked_with_the_keyboard(report, open_page):
    page = open_page(report, NARROW, "dark")
    line = page.get_by_role("group", name="Training loss").locator("[data-points]").first
    line.focus()
    tip = page.locator(".tip")
    assert "tokens seen: 0" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert "tokens seen: 64" in tip.inner_text()
    assert "nats per token: 8" in tip.inner_text()
    page.keyboard.press("End")
    assert "tokens seen: 2,496" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


@pytest.mark.parametrize("width", [1000, NARROW])
def test_the_page_does_not_scroll_sideways_and_wide_tables_fit_a_laptop(report, open_page, width):
    page = open_page(report, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    scrolled = page.locator(".scroll").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
    )
    assert scrolled == 0 or width == NARROW


def test_the_page_is_accessible(report, open_page):
    assert_accessible(open_page(report))


def test_without_scripts_every_number_is_there(report, open_page):
    page = open_page(report, java_script_enabled=False)
    assert page.locator("svg.chart").count() == 3
    assert page.locator("figure details.numbers").first.is_visible()
