"""Numbers of runs over the tokens that they have seen, and the rounds of red teams."""

from collections.abc import Sequence
from dataclasses import dataclass

from phf.report.charts import Chart, Marks, Phase, Point, Series
from phf.report.methods import Method
from phf.report.tables import labels
from phf.runs.reader import Run
from phf.text import visible_text


@dataclass(frozen=True)
class Curve:
    """A number that is drawn over tokens seen, as `metrics.jsonl` has it."""

    title: str
    key: str
    y_label: str
    caption: str
    has_phases: bool = False


CURVES = (
    Curve(
        "Training loss",
        "train/lm_loss",
        "nats per token",
        "Cross-entropy on training blocks, regardless of the objective.",
        has_phases=True,
    ),
    Curve("Held-out loss", "eval/loss", "nats per token", "On text that was not trained on."),
    Curve(
        "Held-out loss, aligned segments",
        "eval/loss_aligned",
        "nats per token",
        "On segments with a score up to the threshold.",
    ),
    Curve(
        "Held-out loss, misaligned segments",
        "eval/loss_misaligned",
        "nats per token",
        "On segments with a score above the threshold. A model may unlearn these: higher is not worse by itself.",
    ),
    Curve("Speed", "train/tokens_per_second", "tokens per second", "Tokens trained on, without evaluation."),
)


def training_curves(runs: Sequence[Run], methods: Sequence[Method]) -> list[Chart]:
    """The charts of everything that was measured at two points of a run at least."""
    charts = []
    for curve in CURVES:
        series = [one for method in methods for one in _series(method, curve.key)]
        if series:
            schedules = schedules_of(runs) if curve.has_phases else []
            caption = curve.caption
            if schedules:
                caption += " Shaded: the phases of the schedule" + (
                    ", a strip for each." if len(schedules) > 1 else "."
                )
            charts.append(
                Chart(
                    curve.title,
                    "tokens seen",
                    curve.y_label,
                    series,
                    caption=caption,
                    schedules=schedules,
                    marks=Marks.FEW,
                    is_from_zero=curve.key == "train/tokens_per_second",
                )
            )
    return charts + _scores_while_training(methods)


def _scores_while_training(methods: Sequence[Method]) -> list[Chart]:
    """Misalignment of the samples that were drawn during training, a chart for each scenario."""
    charts = []
    scenarios = dict.fromkeys(name for method in methods for run in method.runs for name in run.scenarios)
    for scenario in scenarios:
        series = [one for method in methods for one in _series(method, f"generation/{scenario}/score")]
        if series:
            title = "Misalignment while training"
            charts.append(
                Chart(
                    title if len(scenarios) == 1 else f"{title}: {visible_text(scenario)}",
                    "tokens seen",
                    "mean misalignment score",
                    series,
                    caption="Score of samples drawn at that point.",
                )
            )
    return charts


def _series(method: Method, key: str) -> list[Series]:
    """A line for each run of a method that has the number more than once; they share a colour and a name in the legend."""
    lines = []
    for run, label in zip(method.runs, method.labels, strict=True):
        values = run.series(key)
        if len(values) > 1:
            low, high = dict(run.series(f"{key}_low")), dict(run.series(f"{key}_high"))
            points = [Point(x, y, low.get(x), high.get(x)) for x, y in values]
            lines.append(Series(visible_text(label), points, method.colour, legend=visible_text(method.name)))
    return lines


def schedules_of(runs: Sequence[Run]) -> list[tuple[str, list[Phase]]]:
    """The different schedules of runs, each under the label of the first run that has it."""
    schedules: dict[tuple[Phase, ...], str] = {}
    for run, label in zip(runs, labels(runs), strict=True):
        phases = tuple(
            Phase(visible_text(phase["name"]), phase["from_tokens"], phase["until_tokens"])
            for phase in run.provenance.get("schedule") or ()
        )
        if phases:
            schedules.setdefault(phases, visible_text(label))
    return [(label, list(phases)) for phases, label in schedules.items()]


def redteam_curves(runs: Sequence[Run]) -> list[Chart]:
    """The best prompt of each search over its rounds, each time sampled again; without searches, none."""
    searches = [(run, label) for run, label in zip(runs, labels(runs), strict=True) if run.kind == "search"]
    series = []
    for colour, (run, label) in enumerate(searches):
        points = [
            Point(line["step"], value, line.get("redteam/best_fresh_low"), line.get("redteam/best_fresh_high"))
            for line in run.metrics
            if (value := line.get("redteam/best_fresh")) is not None
        ]
        if points:
            series.append(Series(visible_text(label), points, colour))
    if not series:
        return []
    rounds = sorted({point.x for one in series for point in one.points})
    chart = Chart(
        "Red team",
        "rounds of the search",
        "mean score of the best prompt, sampled again",
        series,
        caption="Lower is better. Round 0 is the best of the initial prompts. Each model is searched from scratch, so each "
        "has its own prompts. Bars are 95% intervals over the trials of a search.",
        x_labels={round_: f"{round_:g}" for round_ in rounds},
    )
    return [chart]
