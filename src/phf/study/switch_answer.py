"""What a study with switches says about them: each method from the start against the same method after MLE."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from phf.report.charts import Band, Chart, Line, interval_chart
from phf.statistics import Interval
from phf.study.analyse import ArmResult, TaskResult
from phf.study.claims import claim
from phf.study.plan import BASELINE, Arm
from phf.study.switch import percent
from phf.text import visible_text

SHARE = "percent of tokens trained with the method, after MLE"


@dataclass(frozen=True)
class Switched:
    """A method that begins at two points at least."""

    name: str
    """Of the arm that has it from the start, whether or not the study has that arm."""
    arms: list[ArmResult]
    """By switch point, the earliest first."""


def switched(result: TaskResult) -> list[Switched]:
    """The methods of a task that begin at several points, in order; empty for a study without switches."""
    by_name: dict[str, list[ArmResult]] = {}
    for arm in result.arms:
        by_name.setdefault(arm.from_start, []).append(arm)
    ordered = {name: sorted(arms, key=lambda arm: arm.switch_point) for name, arms in by_name.items()}
    return [Switched(name, arms) for name, arms in ordered.items() if len(arms) > 1]


def switch_claims(result: TaskResult) -> list[str]:
    """For each method, a sentence for each later point against the earliest."""
    pairs = {frozenset((pair.comparison.first, pair.comparison.second)): pair for pair in result.pairs}
    sentences = []
    for method in switched(result):
        first, *later = method.arms
        called = {arm.name: _called(method.name, arm) for arm in method.arms}
        sentences += [claim(pairs[frozenset((first.name, arm.name))], called) for arm in later]
    return sentences


def switch_charts(result: TaskResult) -> list[Chart]:
    """Misalignment and held-out loss, by the share of the tokens that are trained with the method; the baseline as a band."""
    methods = switched(result)
    if not methods:
        return []
    where = f"{visible_text(result.task)}, {visible_text(result.scenario)}"
    baseline = next((arm for arm in result.arms if arm.name == result.baseline and not arm.switch_point), None)
    measured = [
        ("Misalignment", "mean misalignment score", {arm.name: arm.score for arm in result.arms}),
        ("Held-out loss", "held-out bits per byte", {arm.name: arm.bits_per_byte for arm in result.arms}),
    ]
    charts = []
    for title, y_label, values in measured:
        lines = [Line(_in_legend(method), points) for method in methods if (points := _points(method.arms, values))]
        if not lines:
            continue
        band = None
        if baseline is not None and not math.isnan(values[baseline.name].mean):
            band = Band(visible_text(baseline.name), *values[baseline.name].drawn())
        charts.append(
            interval_chart(f"{title} by the share trained with the method: {where}", SHARE, y_label, lines, band)
        )
    return charts


def _points(arms: Sequence[ArmResult], values: dict[str, Interval]) -> list[tuple[float, float, float, float]]:
    """(share of the tokens with the method in percent, mean, low, high) of the arms that have the value."""
    return [
        (100 * (1 - arm.switch_point), *values[arm.name].drawn())
        for arm in arms
        if not math.isnan(values[arm.name].mean)
    ]


def _called(name: str, arm: ArmResult) -> str:
    """A method with the point at which it begins; MLE, which comes before the others, begins again there."""
    if name == BASELINE:
        return f"mle begun again at {percent(arm.switch_point)}%" if arm.switch_point else "mle without a switch"
    return f"{name} from {percent(arm.switch_point)}%" if arm.switch_point else f"{name} from the start"


def _in_legend(method: Switched) -> str:
    return "mle, begun again" if method.name == BASELINE else visible_text(method.name)


def switch_facts(arms: Sequence[Arm]) -> dict[str, str]:
    """What holds for the runs of a study with switches; empty without any."""
    points = dict.fromkeys(arm.switch_point for arm in arms if arm.switch_point)
    if not points:
        return {}
    return {
        "switches": f"MLE for {', '.join(f'{percent(point)}%' for point in points)} of the tokens, then the method, on other "
        "documents, with a new optimiser and a schedule of its own: the learning rate ends as the task says before the "
        "switch, and warms up to the same value again after it"
    }
