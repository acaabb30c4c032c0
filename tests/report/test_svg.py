"""Drawings: where values lie, what is said of them, and that nothing in a name can leave its place."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from phf.report.charts import Band, Chart, Line, Phase, Point, Series, interval_chart, line_chart, trade_off_chart
from phf.report.svg import MOST_DRAWN, draw, standalone, thinned
from phf.report.ticks import log_ticks, tick_label, ticks

SVG = "{http://www.w3.org/2000/svg}"


def series_of(svg):
    """name -> [(x, y, x as said, y as said), ...] of each line."""
    root = ElementTree.fromstring(svg)
    return {g.get("data-name"): json.loads(g.get("data-points")) for g in root.iter(f"{SVG}g") if g.get("data-points")}


def test_values_lie_where_they_belong():
    chart = line_chart("t", "x", "y", [("a", [(0, 0.0), (5, 1.0), (10, 0.5)])])
    (points,) = series_of(draw(chart)).values()
    (x0, y0, *_), (x1, y1, *_), (x2, y2, *_) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.2)
    assert y1 < y2 < y0  # larger values are further up


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors():
    chart = Chart("t", "k", "y", [Series("a", [Point(k, 1.0) for k in (1, 10, 100)])], is_log_x=True)
    (points,) = series_of(draw(chart)).values()
    first, second, third = (x for x, *_ in points)
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_what_is_said_of_a_point_has_its_intervals():
    points = [{"name": "a", "x": 2.5, "x_low": 2.25, "x_high": 2.75, "y": 0.125, "low": 0.0625, "high": 0.25}]
    svg = draw(trade_off_chart("t", "loss", "score", points))
    assert series_of(svg)["a"][0][2:] == ["2.5 (2.25 to 2.75)", "0.125 (0.0625 to 0.25)"]
    assert 'aria-label="a: score 0.125 (0.0625 to 0.25) at loss 2.5 (2.25 to 2.75)"' in svg


def test_every_line_can_be_reached_and_has_a_name():
    svg = draw(
        interval_chart("t", "x", "y", [Line("a", [(0, 1, 0.5, 2), (1, 2, 1, 3)]), Line("b", [(0, 1, 1, 1)])], None)
    )
    reached = [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("tabindex") == "0"]
    assert [g.get("data-name") for g in reached] == ["a", "b"]
    assert all(g.get("role") == "img" and g.get("aria-label") for g in reached)


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "a & b", "]]>", "'\"", "${x}", "&amp;lt;"])
def test_hostile_names_stay_text(name):
    line = Line(name, [(0.0, 1.0, 0.5, 1.5), (1.0, 2.0, 1.5, 2.5)])
    chart = interval_chart(name, name, name, [line], Band(name, 1.0, 0.5, 1.5), x_labels={0.0: name, 1.0: "b"})
    for svg in (draw(chart), standalone(chart), standalone(chart, follows_colours=True)):
        root = ElementTree.fromstring(svg)
        assert {element.tag for element in root.iter()} <= {
            f"{SVG}{tag}" for tag in ("svg", "g", "path", "rect", "text", "style")
        }
        assert name in [element.text for element in root.iter(f"{SVG}text")]
        assert list(series_of(svg)) == [name]


def test_a_drawing_is_the_same_each_time_and_html_agrees_with_xml():
    chart = line_chart("t", "x", "y", [("a", [(0, 1), (1, 2)])], [("s", [Phase("mle", 0, 1)])])
    assert draw(chart) == draw(chart)
    opened = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: opened.append(tag)
    parser.handle_startendtag = parser.handle_starttag
    parser.feed(draw(chart))
    assert opened == [element.tag.removeprefix(SVG) for element in ElementTree.fromstring(draw(chart)).iter()]


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [-3.0, -3.0], [1e-12, 1e-12], [1e9, 1e9 + 1], [5e-324, 0.0], [-1e300, 1e300]]
)
def test_any_range_of_values_can_be_drawn(values):
    svg = draw(line_chart("t", "x", "y", [("a", list(enumerate(values)))]))
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d", svg)]
    assert all(-50 < number < 1000 for number in numbers)
    assert "nan" not in svg
    assert "inf" not in svg


def test_a_long_line_is_thinned_to_its_extremes():
    points = [Point(x, 1.0) for x in range(10_000)]
    points[4321] = Point(4321, 9.0)
    points[77] = Point(77, -9.0)
    kept = thinned(points)
    assert len(kept) <= MOST_DRAWN
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert {points[4321], points[77]} <= set(kept)
    assert [point.x for point in kept] == sorted(point.x for point in kept)
    assert thinned(points[:MOST_DRAWN]) == points[:MOST_DRAWN]


def test_a_long_label_of_the_y_axis_is_in_two_rows_beside_it():
    label = "mean score of the best prompt, sampled again"
    root = ElementTree.fromstring(draw(line_chart("t", "x", label, [("a", [(0, 1), (1, 2)])])))
    rows = [text.text for text in root.iter(f"{SVG}text") if "rotate" in (text.get("transform") or "")]
    assert rows == ["mean score of the best", "prompt, sampled again"]
    assert root.get("data-y") == label


def test_the_legend_has_each_name_once_and_none_of_single_seeds():
    one = [Point(0, 1.0)]
    series = [
        Series("a-1", one, 0, legend="a"),
        Series("a-2", one, 0, legend="a"),
        Series("b", one, 1),
        Series("c", one, 1, legend=""),
    ]
    svg = draw(Chart("t", "x", "y", series))
    legend = svg[svg.index('class="legend"') :]
    assert re.findall(r"<text[^>]*>(.*?)</text>", legend) == ["a", "b"]


def test_round_numbers_along_an_axis():
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0.0013, 0.0094, 5) == pytest.approx([0.002, 0.004, 0.006, 0.008])
    assert ticks(-7, 13, 6) == pytest.approx([-5, 0, 5, 10])
    assert log_ticks(1, 100) == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert log_ticks(1, 1e5) == pytest.approx([1, 10, 100, 1000, 10_000, 100_000])
    assert [tick_label(value) for value in (0, 0.005, 2500, 10_000, 250_000, 3e6, 2e9, -0.25)] == [
        "0", "0.005", "2500", "10k", "250k", "3M", "2B", "-0.25",
    ]  # fmt: skip
