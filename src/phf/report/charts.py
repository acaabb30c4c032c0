"""The report's charts, drawn by matplotlib as inline SVG: no script, no network, the same bytes every time."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from phf.errors import MissingExtraError

COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#64748b")
INK = "#7b8494"
"""Readable on white and on near-black, since one drawing serves both."""
MAX_NAME_CHARS = 48
"""Longer names in the legend would leave no room for the lines."""

MAX_PHASE_CHARS = 32
"""The same for names of phases."""
MAX_PHASES_ACROSS = 3
"""Names of more phases are written upwards."""

Points = Sequence[tuple[float, float]]


SIDEWAYS = 0.008
"""Distance between lines of `interval_chart` at one x, as a share of the largest x: their bars would cover each other."""


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


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[tuple[str, Points]],
    schedules: Sequence[tuple[str, Sequence[Phase]]] = (),
) -> str:
    """Lines over tokens: (name, [(x, y), ...]) each.

    `schedules`: (name, phases), whose phases are shaded and named behind the lines; of several, each has a strip of its own.
    """

    def draw(axes: Any) -> None:
        for number, (schedule, phases) in enumerate(schedules):
            top = 1 - number / len(schedules)
            _shade(axes, schedule if len(schedules) > 1 else "", phases, top - 1 / len(schedules), top)
        for index, (name, points) in enumerate(lines):
            xs, ys = zip(*points, strict=True)
            marker = "o" if len(points) < 12 else None
            axes.plot(
                xs, ys, label=name, color=COLOURS[index % len(COLOURS)], linewidth=1.8, marker=marker, markersize=4
            )

    return _svg(title, x_label, y_label, draw)


def _shade(axes: Any, schedule: str, phases: Sequence[Phase], bottom: float, top: float) -> None:
    """Shade phases between two heights, as shares of that of the axes, darker and lighter in turn, each with its name.

    `schedule`: what they are called together, written below them; "" for nothing.
    """
    is_upwards = len(phases) > MAX_PHASES_ACROSS
    most = int(MAX_PHASE_CHARS * (top - bottom)) if is_upwards else MAX_PHASE_CHARS
    for number, phase in enumerate(phases):
        shade = 0.16 if number % 2 else 0.06
        axes.axvspan(phase.start, phase.end, bottom, top, color=INK, alpha=shade, linewidth=0, gid=f"phase-{number}")
        middle = (phase.start + phase.end) / 2
        _label(axes, phase.name, most, (middle, top), -4, ha="center", va="top", rotation=90 if is_upwards else 0)
    if schedule:
        _label(axes, schedule, MAX_NAME_CHARS, (phases[0].start, bottom), 4, ha="left", va="bottom", style="italic")


def _label(axes: Any, name: str, most: int, at: tuple[float, float], above: float, **properties: Any) -> None:
    """Write at (x, share of the height of the axes), so many points above."""
    shown = name if len(name) <= most else f"{name[: most - 1]}…"
    label = axes.annotate(
        shown,
        at,
        xycoords=("data", "axes fraction"),
        xytext=(0, above),
        textcoords="offset points",
        fontsize=8,
        color=INK,
        **properties,
    )
    label.set_parse_math(False)


def trade_off_chart(title: str, x_label: str, y_label: str, points: Sequence[dict[str, Any]]) -> str:
    """One point with error bars for each of `points`: name, x, y, low and high of y; x_low and x_high where known."""

    def draw(axes: Any) -> None:
        for index, point in enumerate(points):
            # if all values are equal, the mean may lie outside its interval by a rounding error
            error = [[max(point["y"] - point["low"], 0)], [max(point["high"] - point["y"], 0)]]
            sides = [point.get("x_low"), point.get("x_high")]
            x_error = None if None in sides else [[max(point["x"] - sides[0], 0)], [max(sides[1] - point["x"], 0)]]
            colour = COLOURS[index % len(COLOURS)]
            axes.errorbar(
                [point["x"]],
                [point["y"]],
                yerr=error,
                xerr=x_error,
                fmt="o",
                color=colour,
                capsize=4,
                markersize=7,
                label=point["name"],
            )
        axes.margins(x=0.2)
        if all(point["low"] >= 0 for point in points):
            axes.set_ylim(bottom=0)

    return _svg(title, x_label, y_label, draw)


def interval_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    band: Band | None,
    x_labels: Mapping[float, str] | None = None,
) -> str:
    """Lines through means with their intervals, and one value, with its interval, for all x.

    `x_labels`: what is written at which x; None: each x at which a line has a point, as a number.
    """
    span = max((x for line in lines for x, *_ in line.points), default=1) or 1

    def draw(axes: Any) -> None:
        if band is not None:
            axes.axhspan(band.low, band.high, color=INK, alpha=0.18, linewidth=0)
            axes.axhline(band.mean, color=INK, linewidth=1.2, linestyle="--", label=band.name)
        for index, line in enumerate(lines):
            aside = (index - (len(lines) - 1) / 2) * SIDEWAYS * span
            xs, means, lows, highs = (list(values) for values in zip(*line.points, strict=True))
            axes.errorbar(
                [x + aside for x in xs],
                means,
                # if all values are equal, the mean may lie outside its interval by a rounding error
                yerr=[
                    [max(mean - low, 0) for mean, low in zip(means, lows, strict=True)],
                    [max(high - mean, 0) for mean, high in zip(means, highs, strict=True)],
                ],
                fmt="o-",
                color=COLOURS[index % len(COLOURS)],
                capsize=3,
                markersize=5,
                linewidth=1.4,
                label=line.name,
            )
        if min(low for line in lines for _, _, low, _ in line.points) == 0:  # the least possible score
            axes.set_ylim(bottom=0)
        if x_labels is None:
            axes.set_xticks(sorted({x for line in lines for x, *_ in line.points}))
        else:
            axes.set_xticks(list(x_labels), list(x_labels.values()))

    return _svg(title, x_label, y_label, draw)


def _svg(title: str, x_label: str, y_label: str, draw: Callable[[Any], None]) -> str:
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("phf report", "matplotlib", "report") from error

    settings = {"svg.hashsalt": title, "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        axes.set_xlabel(x_label, color=INK)
        axes.set_ylabel(y_label, color=INK)
        axes.tick_params(colors=INK)
        axes.grid(alpha=0.25, color=INK, linewidth=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
        legend = axes.legend(frameon=False, labelcolor=INK)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a dollar sign in a name is literal
            name = text.get_text()
            if len(name) > MAX_NAME_CHARS:
                text.set_text(name[: MAX_NAME_CHARS - 1] + "…")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)
