"""The charts of a report that are about samples: the trade-off, how scores are distributed, and how bad the worst of k is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from phf.evaluation.compare import compare
from phf.evaluation.generation.maxima import group_maxima
from phf.report.charts import Chart, Marks, Point, Series
from phf.report.methods import Method, Sampled, have_same_held_out_text, hit_threshold
from phf.report.verdicts import agree, identity_of
from phf.statistics import UNBOUNDED, difference_of_seeds, mean_interval, student_interval
from phf.text import visible_text

COSTS = (
    ("eval/bits_per_byte", "held-out loss", "held-out bits per byte"),
    ("kl/nats_per_sequence", "KL", "KL from the reference LM, nats per sequence"),
)
"""Numbers that misalignment is shown against: key, name, label of the axis."""
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
"""Values of k."""
LEAST_GROUPS = 8
"""Of fewer groups of k samples, the mean over groups says little."""
MOST_STEPS = 200
"""Points of a distribution."""


def trade_offs(methods: Sequence[Method]) -> list[Chart]:
    """Misalignment against each cost that was measured, a chart for each of `shown_together`."""
    return [
        chart
        for where, sampled in shown_together(methods)
        for key, name, label in COSTS
        for chart in trade_off(sampled, key, name, label, where)
    ]


def sample_charts(methods: Sequence[Method]) -> list[Chart]:
    """How scores are distributed and how bad the worst of k samples is, for each of `shown_together`."""
    charts = []
    for where, sampled in shown_together(methods):
        charts += distribution(sampled, where) + worst_of_k(sampled, where)
    return charts


def shown_together(methods: Sequence[Method]) -> list[tuple[str, list[Sampled]]]:
    """(end of the title, what is in the chart) for each chart. Scenarios that differ in what is a method's own, such as the
    control token that texts begin with, are in one chart."""
    by_settings: dict[str, list[str]] = {}
    for scenario in dict.fromkeys(name for method in methods for name in method.scenarios):
        run = next(method.runs[0] for method in methods if scenario in method.scenarios)
        by_settings.setdefault(identity_of(run, scenario)["settings"] or scenario, []).append(scenario)
    charts = []
    for scenarios in by_settings.values():
        pairs = [(method, scenario) for method in methods for scenario in scenarios if scenario in method.scenarios]
        is_named = len(scenarios) > 1
        sampled = [
            Sampled(
                method,
                scenario,
                visible_text(f"{method.name}, {scenario}" if is_named else method.name),
                index if is_named else method.colour,
            )
            for index, (method, scenario) in enumerate(pairs)
        ]
        charts.append((f": {visible_text(', '.join(scenarios))}" if len(by_settings) > 1 else "", sampled))
    return charts


def trade_off(sampled: Sequence[Sampled], key: str, name: str, label: str, where: str) -> list[Chart]:
    """Misalignment against a cost: a point with intervals for each method, and a pale one for each of several seeds."""
    measured = [one for one in sampled if one.method.values(key) and np.isfinite(one.score.mean)]
    if not measured:
        return []
    series = []
    for one in measured:
        y, x = one.score, one.method.number(key)
        by = _dominating(measured, one, key)
        point = Point(x.mean, y.mean, _known(y.low), _known(y.high), _known(x.low), _known(x.high))
        note = f"Dominated by {', '.join(by)}." if by else ""
        series.append(Series(one.name, [point], one.colour, has_line=False, note=note, is_hollow=bool(by)))
        if len(one.method.values(key)) > 1:
            series += _seeds(one, key)
    title = f"Misalignment against {name}{where}"
    caption = (
        "Lower is better on both axes. Bars are 95% intervals: over seeds where a method has several, whose runs are the "
        "small points; otherwise over the samples of one model, which does not cover another seed. A point without a bar "
        "has no known interval. A hollow point is dominated: another method is no worse on both axes, and better on one by "
        "a difference whose interval excludes 0."
    )
    if not have_same_held_out_text([run for one in measured for run in one.method.runs]) and key == COSTS[0][0]:
        caption += " The held-out text differs between runs, so the horizontal axis compares different texts."
    caption += _caution(measured)
    is_from_zero = all(point.low is None or point.low >= 0 for one in series for point in one.points)
    series.sort(key=lambda one: not one.is_minor)  # means in front of seeds
    return [Chart(title, label, "mean misalignment score", series, caption=caption, is_from_zero=is_from_zero)]


def _seeds(sampled: Sampled, key: str) -> list[Series]:
    """A pale point for each run."""
    of_seeds = []
    for run, label in zip(sampled.method.runs, sampled.method.labels, strict=True):
        cost, score = run.last(key), run.last(f"generation/{sampled.scenario}/score")
        if cost is not None and score is not None:
            points = [Point(cost, score)]
            of_seeds.append(
                Series(visible_text(label), points, sampled.colour, has_line=False, is_minor=True, legend="")
            )
    return of_seeds


def _dominating(measured: Sequence[Sampled], ours: Sampled, key: str) -> list[str]:
    """Names of those that are no worse in both means, and better in one by a difference whose interval excludes 0."""
    names = []
    for other in measured:
        if other is ours or other.score.mean > ours.score.mean:
            continue
        if other.method.number(key).mean > ours.method.number(key).mean:
            continue
        if not agree(_identity(ours), _identity(other)):
            continue
        of_cost = difference_of_seeds(ours.method.values(key), other.method.values(key))
        of_score = compare(ours.scenario, (ours.name, ours.scores), (other.name, other.scores)).interval
        if of_cost.excludes_zero() or of_score.excludes_zero():
            names.append(other.name)
    return names


def _identity(sampled: Sampled) -> dict[str, Any]:
    return identity_of(sampled.method.runs[0], sampled.scenario)


def distribution(sampled: Sequence[Sampled], where: str) -> list[Chart]:
    """The share of samples with a higher score, for each score; the seeds of a method together."""
    series = []
    for one in sampled:
        scores = [score for of_run in one.scores for score in of_run.scored()[1]]
        if scores:
            series.append(Series(one.name, _shares_above(scores), one.colour))
    if not series:
        return []
    caption = (
        "How many samples have a score above each value: lower is better, everywhere. Where a line starts is the share of "
        "samples with any misalignment; how far it goes to the right is the worst sample."
    )
    caption += _caution(sampled)
    title = f"Distribution of scores{where}"
    return [
        Chart(
            title,
            "misalignment score",
            "share of samples above it",
            series,
            caption,
            is_from_zero=True,
            marks=Marks.NONE,
        )
    ]


def _shares_above(scores: Sequence[float]) -> list[Point]:
    ordered = np.sort(np.asarray(scores))
    values = np.unique(ordered)
    if values.size > MOST_STEPS:
        values = np.unique(np.quantile(values, np.linspace(0, 1, MOST_STEPS), method="nearest"))
    above = 1 - np.searchsorted(ordered, values, side="right") / ordered.size
    return [Point(float(value), float(share)) for value, share in zip(values, above, strict=True)]


def worst_of_k(sampled: Sequence[Sampled], where: str) -> list[Chart]:
    """Expected maximum and hit probability over k, where prompts have that many samples."""
    maxima, hits = [], []
    for one in sampled:
        by_size = {size: group for size in SIZES if (group := _groups(one, size)) is not None}
        if len(by_size) < 2:
            continue
        threshold = hit_threshold(one.method.runs[0], one.scenario)
        points = [_mean(size, groups, UNBOUNDED) for size, groups in by_size.items()]
        maxima.append(Series(one.name, points, one.colour))
        is_hit = {
            size: [[(prompt, float(maximum > threshold)) for prompt, maximum in of_seed] for of_seed in groups]
            for size, groups in by_size.items()
        }
        points = [_mean(size, groups, (0.0, 1.0)) for size, groups in is_hit.items()]
        hits.append(Series(one.name, points, one.colour))
    if not maxima:
        return []
    caution = _caution(sampled)
    sizes = sorted({point.x for line in maxima for point in line.points})
    caption = (
        "Samples of one prompt in groups of k, disjoint: {}, with 95% intervals, over seeds where a method has several and "
        "otherwise over groups. Lower is better. k ends where fewer than " + f"{LEAST_GROUPS} groups are left."
    )
    drawn = (
        ("Expected maximum of k samples", "mean of the largest score", maxima, "the mean of the largest score"),
        ("Hit rate of k samples", "share with a hit", hits, "the share with a score above the threshold of a hit"),
    )
    return [
        Chart(
            f"{title}{where}",
            "k",
            label,
            series,
            caption.format(of_groups) + caution,
            is_from_zero=True,
            is_log_x=True,
            x_labels={size: f"{size:g}" for size in sizes},
        )
        for title, label, series, of_groups in drawn
    ]


def _groups(sampled: Sampled, size: int) -> list[list[tuple[str, float]]] | None:
    """(prompt, maximum) of each group of `size` samples, of each seed; None for too few."""
    groups = [group_maxima(run.prompts, run.scores, size) for run in sampled.scores]
    return groups if groups and min(map(len, groups)) >= LEAST_GROUPS else None


def _mean(size: int, groups: Sequence[Sequence[tuple[str, float]]], bounds: tuple[float, float]) -> Point:
    """Over the means of several seeds, or over the groups of one, clustered by prompt."""
    if len(groups) > 1:
        interval = student_interval([float(np.mean([value for _, value in of_seed])) for of_seed in groups], bounds)
    else:
        interval = mean_interval([value for _, value in groups[0]], [prompt for prompt, _ in groups[0]], bounds)
    return Point(size, interval.mean, _known(interval.low), _known(interval.high))


def _caution(sampled: Sequence[Sampled]) -> str:
    """What to say of a chart whose lines are not comparable; empty where they are, as far as the runs say."""
    identities = [_identity(one) for one in sampled]
    if len({one.scenario for one in sampled}) > 1:  # named, since they may begin with other control tokens
        identities = [identity | {"is_own": None} for identity in identities]
    if all(agree(identities[0], other) for other in identities[1:]):
        return ""
    return " The scorer or the settings of the scenario differ between these methods: their scores are not comparable."


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
