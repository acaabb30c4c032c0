"""Where things are on a chart: the range of its axes, its margins, its legend, and the phases shaded behind its lines."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from phf.report.charts import Chart, Phase
from phf.report.ticks import log_ticks, tick_label, ticks
from phf.text import visible_text

WIDTH = 440
PLOT_HEIGHT = 230
CHAR = 6.3
"""Width of a character of a label, on average, on the safe side."""
MARGIN = 0.05
"""Of the range of an axis, left free at its ends."""
LEGEND_ROW = 19
Y_LABEL_ROW = 15
MAX_Y_LABEL_CHARS = 35
LEAST_RANGE = 1e-300
"""Values that are closer together are drawn as if they were equal."""
MAX_PHASE_CHARS = 32
"""Longer names of phases are cut."""
MAX_PHASES_ACROSS = 3
"""Names of more phases are written upwards."""


@dataclass(frozen=True)
class Axis:
    """What one axis covers."""

    low: float
    high: float
    ticks: list[tuple[float, str]]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Layout:
    """The rectangle of the plot, the size of the whole, and where each entry of the legend begins."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int
    legend: list[tuple[int, int]]

    @classmethod
    def of(cls, upwards: Axis, y_label: str, names: Sequence[str]) -> "Layout":
        """With room for the labels of the y axis and the names of the legend."""
        left = (
            30
            + Y_LABEL_ROW * (len(in_rows(y_label)) - 1)
            + math.ceil(CHAR * max((len(label) for _, label in upwards.ticks), default=1))
        )
        top, right = 10, WIDTH - 14
        bottom = top + PLOT_HEIGHT
        places, x, y = [], left, bottom + 56
        for name in names:
            needed = 24 + math.ceil(CHAR * len(name)) + 14
            if x > left and x + needed > WIDTH:
                x, y = left, y + LEGEND_ROW
            places.append((x, y))
            x += needed
        return cls(left, top, right, bottom, WIDTH, y + 12 if names else bottom + 44, places)

    def x(self, axis: Axis, value: float) -> float:
        """Where a value is drawn."""
        return self.left + axis.share(value) * (self.right - self.left)

    def y(self, axis: Axis, value: float) -> float:
        """Where a value is drawn; larger ones further up."""
        return self.bottom - axis.share(value) * (self.bottom - self.top)


def x_axis(chart: Chart) -> Axis:
    """From the least to the largest x that is drawn."""
    places = [point.x + point.aside for series in chart.series for point in series.points]
    places += [x for series in chart.series for p in series.points for x in (p.x_low, p.x_high) if x is not None]
    places += list(chart.x_labels or ())
    if chart.is_bars:
        places = [x + half for x in places for half in (-0.5, 0.5)]
    if chart.is_log_x:
        low, high = min(places), max(places)
        labelled = list((chart.x_labels or {x: tick_label(x) for x in log_ticks(low, high)}).items())
        spread = (high / low) ** MARGIN if high > low else 1.5  # the marks of the first point stay clear of the y axis
        return Axis(low / spread, high * spread, labelled, is_log=True)
    is_over_time = all(series.has_line for series in chart.series) and chart.x_labels is None
    low, high = _padded(places, 0.0 if is_over_time else MARGIN)
    labelled = [(x, tick_label(x)) for x in ticks(low, high, 6)]
    if chart.x_labels is not None:
        labelled = [(x, label) for x, label in chart.x_labels.items() if low <= x <= high]
    return Axis(low, high, labelled)


def y_axis(chart: Chart) -> Axis:
    """From the least to the largest y that is drawn, with its intervals."""
    places = [
        y
        for series in chart.series
        for point in series.points
        for y in (point.y, point.low, point.high)
        if y is not None
    ]
    if chart.band is not None:
        places += chart.band[1:]
    if chart.is_from_zero:
        places.append(0.0)
    low, high = _padded(places, MARGIN)
    if chart.is_from_zero and min(places) == 0:
        low = 0.0
    return Axis(low, high, [(y, tick_label(y)) for y in ticks(low, high, 5)])


def _padded(values: Iterable[float], margin: float) -> tuple[float, float]:
    """A range around values, which is not empty even if they are all alike."""
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), LEAST_RANGE):
        half = max(0.5 * abs(low), LEAST_RANGE) if low else 0.5
        return low - half, high + half
    return low - margin * (high - low), high + margin * (high - low)


def phases_of(chart: Chart, layout: Layout, across: Axis) -> list[str]:
    """The phases of each schedule, shaded darker and lighter in turn, with their names."""
    parts = []
    for number, (name, phases) in enumerate(chart.schedules):
        height = (layout.bottom - layout.top) / len(chart.schedules)
        top = layout.top + number * height
        parts += _strip(phases, layout, across, top, height)
        if len(chart.schedules) > 1:
            x, y = layout.x(across, max(phases[0].start, across.low)) + 4, top + height - 5
            parts.append(f'<text class="phase of" x="{x:.1f}" y="{y:.1f}">{escape(fit(name, 40))}</text>')
    return parts


def _strip(phases: Sequence[Phase], layout: Layout, across: Axis, top: float, height: float) -> list[str]:
    is_upwards = len(phases) > MAX_PHASES_ACROSS
    parts = []
    for number, phase in enumerate(phases):
        start, end = (layout.x(across, min(max(at, across.low), across.high)) for at in (phase.start, phase.end))
        shade = "dark" if number % 2 else "pale"
        parts.append(
            f'<rect class="phase {shade}" data-phase="{number}" x="{start:.1f}" y="{top:.1f}" '
            f'width="{max(end - start, 0):.1f}" height="{height:.1f}"/>'
        )
        room = int((height if is_upwards else end - start) / CHAR) - 1
        name = escape(fit(phase.name, min(MAX_PHASE_CHARS, max(room, 1))))
        x = (start + end) / 2
        turned = (
            f' transform="rotate(-90 {x:.1f} {top + 6:.1f})" text-anchor="end"'
            if is_upwards
            else ' text-anchor="middle"'
        )
        y = top + (9 if is_upwards else 13)
        parts.append(f'<text class="phase" x="{x:.1f}" y="{y:.1f}"{turned}>{name}</text>')
    return parts


def in_rows(label: str) -> list[str]:
    """The label of the y axis, in two rows if it is longer than the axis."""
    if len(label) <= MAX_Y_LABEL_CHARS or " " not in label:
        return [fit(label, MAX_Y_LABEL_CHARS)]
    breaks = [index for index, character in enumerate(label) if character == " "]
    middle = min(breaks, key=lambda index: abs(index - len(label) / 2))
    return [fit(label[:middle], MAX_Y_LABEL_CHARS), fit(label[middle + 1 :], MAX_Y_LABEL_CHARS)]


def fit(name: str, most: int) -> str:
    """A name of at most so many characters, on one line."""
    line = " ".join(visible_text(name).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
