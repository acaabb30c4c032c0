"""What a chart shows, as plain values: `phf.report.svg` draws it, `phf.report.export` writes it as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

SIDEWAYS = 0.008
"""Distance between lines of `interval_chart` at one x, as a share of the largest x: their bars would cover each other."""

Points = Sequence[tuple[float, float]]


class Marks(Enum):
    """What is drawn at the points of a line."""

    SHAPES = "the shape of the series"
    FEW = "a dot, where there are few"
    NONE = "nothing"


class Point(NamedTuple):
    """One value with its 95% intervals; bounds are None where they are unknown."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    x_low: float | None = None
    x_high: float | None = None
    aside: float = 0.0
    """How far to the right of `x` it is drawn, in units of x."""


@dataclass(frozen=True)
class Series:
    """Points under one name."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    """Series of one method share it."""
    has_line: bool = True
    is_minor: bool = False
    """Drawn small and pale: a single seed beside the mean of its method."""
    note: str = ""
    """Said of it when it is pointed at, such as by which others it is dominated."""
    is_hollow: bool = False
    legend: str | None = None
    """The name in the legend; None: `name`. Series with the same one share an entry; "" is not listed."""


class Line(NamedTuple):
    """A line with intervals."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    """(x, mean, low, high)."""


class Band(NamedTuple):
    """A value, with its interval, that does not depend on x."""

    name: str
    mean: float
    low: float
    high: float


class Phase(NamedTuple):
    """A named part of the x axis."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Chart:
    """A chart with one x and one y axis."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    caption: str = ""
    band: Band | None = None
    schedules: Sequence[tuple[str, Sequence[Phase]]] = ()
    """(name, phases), which are shaded and named behind the lines; of several, each has a strip of its own."""
    x_labels: Mapping[float, str] | None = None
    """What is written at which x; None: round numbers."""
    is_from_zero: bool = False
    """Whether the y axis includes 0."""
    is_log_x: bool = False
    is_bars: bool = False
    """Whether each point is a bar from 0 to y, 1 wide."""
    x_names: Mapping[float, str] | None = None
    """What an x is called where it is spoken of; None: as on the axis."""
    marks: Marks = Marks.SHAPES

    @property
    def num_points(self) -> int:
        """Over all series."""
        return sum(len(series.points) for series in self.series)

    def name_of(self, x: float) -> str | None:
        """What an x is called; None for its number."""
        return (self.x_names or self.x_labels or {}).get(x)


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[tuple[str, Points]],
    schedules: Sequence[tuple[str, Sequence[Phase]]] = (),
    **more: Any,
) -> Chart:
    """Lines over tokens: (name, [(x, y), ...]) each. `schedules` and `more`: see `Chart`."""
    series = [
        Series(name, [Point(x, y) for x, y in points], colour=index) for index, (name, points) in enumerate(lines)
    ]
    return Chart(title, x_label, y_label, series, schedules=schedules, marks=Marks.FEW, **more)


def trade_off_chart(
    title: str, x_label: str, y_label: str, points: Sequence[dict[str, Any]], caption: str = ""
) -> Chart:
    """One point with error bars for each of `points`: name, x, y, low and high of y; x_low and x_high where known."""
    series = [
        Series(
            point["name"],
            [Point(point["x"], point["y"], point["low"], point["high"], point.get("x_low"), point.get("x_high"))],
            colour=index,
            has_line=False,
            note=point.get("note", ""),
            is_hollow=point.get("is_hollow", False),
        )
        for index, point in enumerate(points)
    ]
    is_from_zero = all(point["low"] >= 0 for point in points)
    return Chart(title, x_label, y_label, series, caption=caption, is_from_zero=is_from_zero)


def interval_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    band: Band | None,
    x_labels: Mapping[float, str] | None = None,
    caption: str = "",
) -> Chart:
    """Lines through means with their intervals, and one value, with its interval, for all x.

    `x_labels`: what is written at which x; None: each x at which a line has a point, as a number.
    """
    places = sorted({x for line in lines for x, *_ in line.points})
    span = max(places, default=1) or 1
    series = []
    for index, line in enumerate(lines):
        aside = (index - (len(lines) - 1) / 2) * SIDEWAYS * span
        series.append(Series(line.name, [Point(*point, aside=aside) for point in line.points], colour=index))
    if x_labels is None:
        x_labels = {x: f"{x:g}" for x in places}
    is_from_zero = min(low for line in lines for _, _, low, _ in line.points) == 0  # the least possible score
    return Chart(
        title, x_label, y_label, series, caption=caption, band=band, x_labels=x_labels, is_from_zero=is_from_zero
    )
