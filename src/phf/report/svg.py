"""Charts as SVG, drawn by us: no library, no network, the same bytes every time.

Colours and fonts come from `charts.css`, so one drawing serves light, dark and print. A line can be reached with the
keyboard; `charts.js` shows the value under the pointer, or walks along it with the arrow keys.
"""

import json
import math
from collections.abc import Sequence
from html import escape
from importlib import resources

from phf.report.axes import Y_LABEL_ROW, Axis, Layout, fit, in_rows, phases_of, x_axis, y_axis
from phf.report.charts import Chart, Marks, Point, Series
from phf.text import visible_text

NUM_COLOURS = 8
MAX_NAME_CHARS = 48
"""Longer names in the legend would leave no room for the lines."""
MOST_DRAWN = 240
"""Points of a line that are drawn: of more, the least and the largest of each stretch."""
MOST_SHAPES, MOST_DOTS = 24, 11
"""Lines of more points have none at them."""
SHAPES = ("circle", "square", "triangle", "diamond", "down", "cross", "bar", "star")
MAX_X_LABEL_CHARS = 56
"""Longer labels of the x axis would not fit below it."""
SCALE = 1.5
"""Pixels of a unit, in a file of its own."""
HALF = 4.5
"""Half the size of a mark."""


def draw(chart: Chart) -> str:
    """The chart as an <svg> element."""
    across, upwards = x_axis(chart), y_axis(chart)
    entries = _legend_entries(chart)
    layout = Layout.of(upwards, chart.y_label, [name for name, _ in entries])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="group" aria-label="{_text(chart.title)}" '
        f'viewBox="0 0 {layout.width} {layout.height}" data-x="{_text(chart.x_label)}" data-y="{_text(chart.y_label)}">',
        *phases_of(chart, layout, across),
        *_axes(chart, layout, across, upwards),
        *_band(chart, layout, upwards),
        *(_series(series, layout, across, upwards, chart) for series in chart.series),
        *_legend(layout, entries, chart),
        "</svg>",
    ]
    return "\n".join(parts)


def standalone(chart: Chart, *, follows_colours: bool = False) -> str:
    """The chart as a file of its own, with its style: on white, or light and dark as the page that shows it."""
    svg = draw(chart)
    style = (resources.files("phf.report") / "charts.css").read_text(encoding="utf-8")
    if follows_colours:
        style = style.replace("figure .chart", ".chart")
    width, height = (SCALE * int(size) for size in svg.partition('viewBox="0 0 ')[2].partition('"')[0].split())
    opening, rest = svg.split(">", 1)
    paper = '<rect width="100%" height="100%" style="fill: var(--chart-paper)"/>'
    return f'{opening} width="{width:g}" height="{height:g}"><style>{style}</style>{paper}{rest}\n'


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_DRAWN` of them in order, with the first, the last, and every extreme."""
    if len(points) <= MOST_DRAWN:
        return list(points)
    kept = {0, len(points) - 1}
    stretches = (MOST_DRAWN - 2) // 2
    for number in range(stretches):
        start, end = (len(points) * edge // stretches for edge in (number, number + 1))
        kept |= {pick(range(start, end), key=lambda index: points[index].y) for pick in (min, max)}
    return [points[index] for index in sorted(kept)]


def has_marks(series: Series, chart: Chart) -> bool:
    """Whether something is drawn at the points of a series."""
    most = {Marks.SHAPES: MOST_SHAPES, Marks.FEW: MOST_DOTS, Marks.NONE: 0}[chart.marks]
    return len(series.points) <= most


def _axes(chart: Chart, layout: Layout, across: Axis, upwards: Axis) -> list[str]:
    left, top, right, bottom = layout.left, layout.top, layout.right, layout.bottom
    parts = ['<g class="axis" aria-hidden="true">']
    for value, label in upwards.ticks:
        y = layout.y(upwards, value)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_text(label)}</text>')
    for value, label in across.ticks:
        x = layout.x(across, value)
        parts.append(f'<path class="tick" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{_text(label)}</text>')
    parts.append(f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>')
    middle, x_label = (left + right) / 2, fit(chart.x_label, MAX_X_LABEL_CHARS)
    parts.append(f'<text class="label" x="{middle:.1f}" y="{bottom + 35}" text-anchor="middle">{_text(x_label)}</text>')
    y = (top + bottom) / 2
    for number, row in enumerate(in_rows(chart.y_label)):
        turned = f"translate({12 + Y_LABEL_ROW * number} {y:.1f}) rotate(-90)"
        parts.append(f'<text class="label" transform="{turned}" text-anchor="middle">{_text(row)}</text>')
    return [*parts, "</g>"]


def _band(chart: Chart, layout: Layout, upwards: Axis) -> list[str]:
    if chart.band is None:
        return []
    low, mean, high = (layout.y(upwards, value) for value in (chart.band.low, chart.band.mean, chart.band.high))
    name, value = _text(chart.band.name), _number(chart.band.mean)
    return [
        f'<g class="band" role="img" aria-label="{name}: {value}">'
        f'<rect x="{layout.left}" y="{high:.1f}" width="{layout.right - layout.left}" height="{max(low - high, 0):.1f}"/>'
        f'<path d="M{layout.left} {mean:.1f}H{layout.right}"/></g>'
    ]


def _series(series: Series, layout: Layout, across: Axis, upwards: Axis, chart: Chart) -> str:
    points = thinned(series.points)
    places = [(layout.x(across, point.x + point.aside), layout.y(upwards, point.y)) for point in points]
    kinds = ["series", f"c{series.colour % NUM_COLOURS}", *(["minor"] if series.is_minor else [])]
    if series.colour >= NUM_COLOURS:
        kinds.append(f"dash{series.colour // NUM_COLOURS % 3}")
    said = [[round(x, 1), round(y, 1), *_said(point, chart)] for (x, y), point in zip(places, points, strict=True)]
    parts = [
        f'<g class="{" ".join(kinds)}" role="img" tabindex="0" aria-label="{_text(_summary(series, chart))}" '
        f'data-name="{_text(series.name)}" data-note="{_text(series.note)}" '
        f'data-points="{_text(json.dumps(said, ensure_ascii=False, separators=(",", ":")))}">'
    ]
    if series.has_line and len(points) > 1:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="line" d="M{path}"/>')
    for (x, y), point in zip(places, points, strict=True):
        parts.append(_intervals(point, x, y, layout, across, upwards))
    if chart.is_bars:
        half = (layout.x(across, 0.9) - layout.x(across, 0)) / 2
        parts += [
            f'<path class="mark" d="M{x - half:.1f} {layout.bottom}V{y:.1f}h{2 * half:.1f}V{layout.bottom}z"/>'
            for x, y in places
        ]
    elif has_marks(series, chart):
        is_shape = chart.marks is Marks.SHAPES
        shape = SHAPES[series.colour % len(SHAPES)] if is_shape else "circle"
        hollow = " hollow" if series.is_hollow else ""
        size = HALF if is_shape and not series.is_minor else HALF * 0.65
        parts += [f'<path class="mark{hollow}" d="{_shape(shape, x, y, size)}"/>' for x, y in places]
    return "".join(parts) + "</g>"


def _intervals(point: Point, x: float, y: float, layout: Layout, across: Axis, upwards: Axis) -> str:
    """Its intervals."""
    path = ""
    if point.low is not None and point.high is not None and point.low < point.high:
        low, high = layout.y(upwards, min(point.low, point.y)), layout.y(upwards, max(point.high, point.y))
        path += f"M{x - 3:.1f} {low:.1f}h6m-3 0V{high:.1f}m-3 0h6"
    if point.x_low is not None and point.x_high is not None and point.x_low < point.x_high:
        low, high = layout.x(across, min(point.x_low, point.x)), layout.x(across, max(point.x_high, point.x))
        path += f"M{low:.1f} {y - 3:.1f}v6m0 -3H{high:.1f}m0 -3v6"
    return f'<path class="bar" d="{path}"/>' if path else ""


def _shape(shape: str, x: float, y: float, half: float) -> str:
    """The path of a mark."""
    if shape == "circle":
        return f"M{x - half:.1f} {y:.1f}a{half} {half} 0 1 0 {2 * half} 0a{half} {half} 0 1 0 {-2 * half} 0z"
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        "down": ((0, 1.1), (1.1, -0.9), (-1.1, -0.9)),
        "cross": ((-0.35, -1.1), (0.35, -1.1), (0.35, -0.35), (1.1, -0.35), (1.1, 0.35), (0.35, 0.35), (0.35, 1.1),
                  (-0.35, 1.1), (-0.35, 0.35), (-1.1, 0.35), (-1.1, -0.35), (-0.35, -0.35)),
        "bar": ((-0.5, -1.2), (0.5, -1.2), (0.5, 1.2), (-0.5, 1.2)),
        "star": tuple(
            ((1.3 if number % 2 == 0 else 0.55) * math.sin(number * math.pi / 5),
             -(1.3 if number % 2 == 0 else 0.55) * math.cos(number * math.pi / 5))
            for number in range(10)
        ),
    }[shape]  # fmt: skip
    return "M" + "L".join(f"{x + half * dx:.1f} {y + half * dy:.1f}" for dx, dy in corners) + "z"


def _said(point: Point, chart: Chart) -> list[str]:
    """x and y as words, with what is known of their intervals."""
    x = (chart.name_of(point.x) or _number(point.x)) + _known(point.x_low, point.x_high)
    return [x, _number(point.y) + _known(point.low, point.high)]


def _known(low: float | None, high: float | None) -> str:
    return f" ({_number(low)} to {_number(high)})" if low is not None and high is not None and low < high else ""


def _summary(series: Series, chart: Chart) -> str:
    """The line in words: all of a few points, otherwise where it begins and ends."""
    points = series.points
    chosen = points if len(points) <= 3 else (points[0], points[-1])
    said = [f"{chart.y_label} {y} at {chart.x_label} {x}" for x, y in (_said(point, chart) for point in chosen)]
    joined = "; ".join(said) if len(points) <= 3 else f"{len(points)} points, from {' to '.join(said)}"
    return f"{series.name}: {joined}" + (f". {series.note}" if series.note else "")


def _legend_entries(chart: Chart) -> list[tuple[str, Series | None]]:
    """(name, one of its series), the band without one."""
    entries: dict[str, Series | None] = {}
    for series in chart.series:
        name = series.name if series.legend is None else series.legend
        if name:
            entries.setdefault(name, series)
    if chart.band is not None:
        entries.setdefault(chart.band.name, None)
    return [(fit(name, MAX_NAME_CHARS), series) for name, series in entries.items()]


def _legend(layout: Layout, entries: Sequence[tuple[str, Series | None]], chart: Chart) -> list[str]:
    parts = ['<g class="legend" aria-hidden="true">']
    for (name, series), (x, y) in zip(entries, layout.legend, strict=True):
        if series is None:
            parts.append(f'<g class="band"><path d="M{x} {y}h18"/></g>')
        else:
            dash = f" dash{series.colour // NUM_COLOURS % 3}" if series.colour >= NUM_COLOURS else ""
            parts.append(f'<g class="series c{series.colour % NUM_COLOURS}{dash}">')
            if series.has_line:
                parts.append(f'<path class="line" d="M{x} {y}h18"/>')
            if chart.marks is Marks.SHAPES:
                hollow = " hollow" if series.is_hollow else ""
                shape = _shape("square" if chart.is_bars else SHAPES[series.colour % len(SHAPES)], x + 9, y, HALF)
                parts.append(f'<path class="mark{hollow}" d="{shape}"/>')
            parts.append("</g>")
        parts.append(f'<text x="{x + 24}" y="{y + 4}">{_text(name)}</text>')
    return [*parts, "</g>"]


def _text(text: str) -> str:
    """For an attribute or as the content of an element; what XML cannot hold is shown as an escape."""
    return escape(visible_text(text))


def _number(value: float) -> str:
    """Four significant digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1e4 or float(value).is_integer() else f"{value:.4g}"
