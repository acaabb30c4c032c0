"""Charts as PNG, by matplotlib: for slides and papers that take no SVG."""

from pathlib import Path
from typing import Any

from phf.report.axes import fit
from phf.report.charts import Chart, Marks, Series
from phf.report.svg import MAX_NAME_CHARS, NUM_COLOURS, has_marks
from phf.storage.files import atomic_write

COLOURS = ("#2258d6", "#c2410c", "#04785a", "#8b2fd0", "#c81e4a", "#0b7390", "#8a6100", "#566377")
"""Those of `charts.css`, on white."""
SHAPES = "os^DvP|*"
DASHES = ("-", "--", ":", "-.")
INK = "#4b5565"
DOTS_PER_INCH = 160


def write_png(chart: Chart, path: Path) -> None:
    """Draw the chart. Needs the extra `report`."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False, "font.size": 10}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=DOTS_PER_INCH)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if chart.is_log_x:
            axes.set_xscale("log")
        for number, (_, phases) in enumerate(chart.schedules):
            top = 1 - number / len(chart.schedules)
            for index, phase in enumerate(phases):
                shade = 0.13 if index % 2 else 0.05
                axes.axvspan(
                    phase.start, phase.end, top - 1 / len(chart.schedules), top, color=INK, alpha=shade, linewidth=0
                )
        if chart.band is not None:
            axes.axhspan(chart.band.low, chart.band.high, color=INK, alpha=0.16, linewidth=0)
            axes.axhline(chart.band.mean, color=INK, linewidth=1.2, linestyle="--", label=chart.band.name)
        named: set[str] = set()
        for series in chart.series:
            _draw(axes, series, chart, named)
        if chart.is_from_zero:
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if _has_negative(chart) else 0.0)
        if chart.x_labels is not None:
            axes.set_xticks(list(chart.x_labels), list(chart.x_labels.values()))
            axes.minorticks_off()
        axes.set_title(fit(chart.title, 70), loc="left", fontsize=11)
        axes.set_xlabel(fit(chart.x_label, 80))
        axes.set_ylabel(fit(chart.y_label, 60))
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if named or chart.band is not None:
            axes.legend(frameon=False, fontsize=8)
        with atomic_write(path) as partial, partial.open("wb") as file:
            canvas.print_png(file)


def _draw(axes: Any, series: Series, chart: Chart, named: set[str]) -> None:
    points = series.points
    name = series.name if series.legend is None else series.legend
    label = None if not name or name in named else fit(name, MAX_NAME_CHARS)
    named |= {name} if name else set()
    colour = COLOURS[series.colour % NUM_COLOURS]
    if chart.is_bars:
        axes.bar([point.x for point in points], [point.y for point in points], color=colour, width=0.9, label=label)
        return
    is_shape = chart.marks is Marks.SHAPES
    shape = SHAPES[series.colour % len(SHAPES)] if is_shape else "o"
    axes.errorbar(
        [point.x + point.aside for point in points],
        [point.y for point in points],
        yerr=_error([(point.y, point.low, point.high) for point in points]),
        xerr=_error([(point.x, point.x_low, point.x_high) for point in points]),
        color=colour,
        label=label,
        linestyle=DASHES[series.colour // NUM_COLOURS % len(DASHES)] if series.has_line else "none",
        linewidth=1.6,
        marker=shape if has_marks(series, chart) else None,
        markersize=3.5 if series.is_minor or not is_shape else 6,
        markerfacecolor="white" if series.is_hollow else colour,
        alpha=0.45 if series.is_minor else 1,
        elinewidth=1.1,
        capsize=2.5,
    )


def _error(values: list[tuple[float, float | None, float | None]]) -> list[list[float]] | None:
    """Lengths of the bars down and up; none where no point has an interval."""
    if all(low is None or high is None for _, low, high in values):
        return None
    down = [max(value - low, 0) if low is not None else 0.0 for value, low, _ in values]
    up = [max(high - value, 0) if high is not None else 0.0 for value, _, high in values]
    return [down, up]


def _has_negative(chart: Chart) -> bool:
    return any(point.y < 0 or (point.low or 0) < 0 for series in chart.series for point in series.points)
