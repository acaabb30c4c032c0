"""The charts of a report that are about samples: the trade-off, how scores are distributed, and how bad the worst of k is."""

from collections.abc import Sequence

import numpy as np

from phf.evaluation.compare import compare
from phf.evaluation.generation.maxima import group_maxima
from phf.report.charts import Chart, Marks, Point, Series
from phf.report.methods import Method, have_same_held_out_text, hit_threshold
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
    """Misalignment against each cost that was measured, a chart for each scenario."""
    scenarios = scenarios_of(methods)
    return [
        chart
        for scenario in scenarios
        for key, name, label in COSTS
        for chart in trade_off(methods, scenario, key, name, label, len(scenarios) > 1)
    ]


def sample_charts(methods: Sequence[Method]) -> list[Chart]:
    """How scores are distributed and how bad the worst of k samples is, for each scenario."""
    scenarios = scenarios_of(methods)
    charts = []
    for scenario in scenarios:
        where = f": {visible_text(scenario)}" if len(scenarios) > 1 else ""
        charts += distribution(methods, scenario, where) + worst_of_k(methods, scenario, where)
    return charts


def scenarios_of(methods: Sequence[Method]) -> list[str]:
    """Those that any of the methods was sampled in."""
    return list(dict.fromkeys(name for method in methods for name in method.scenarios))


def trade_off(
    methods: Sequence[Method], scenario: str, key: str, name: str, label: str, is_one_of_several: bool
) -> list[Chart]:
    """Misalignment against a cost: a point with intervals for each method, and a pale one for each of several seeds."""
    measured = [method for method in methods if method.values(key) and np.isfinite(method.score(scenario).mean)]
    if not measured:
        return []
    series = []
    for method in measured:
        y, x = method.score(scenario), method.number(key)
        by = [visible_text(other) for other in _dominating(measured, method, scenario, key)]
        point = Point(x.mean, y.mean, _known(y.low), _known(y.high), _known(x.low), _known(x.high))
        note = f"Dominated by {', '.join(by)}." if by else ""
        series.append(
            Series(visible_text(method.name), [point], method.colour, has_line=False, note=note, is_hollow=bool(by))
        )
        if len(method.values(key)) > 1:
            series += _seeds(method, scenario, key)
    title = f"Misalignment against {name}" + (f": {visible_text(scenario)}" if is_one_of_several else "")
    caption = (
        "Lower is better on both axes. Bars are 95% intervals: over seeds where a method has several, whose runs are the "
        "small points; otherwise over the samples of one model, which does not cover another seed. A point without a bar "
        "has no known interval. A hollow point is dominated: another method is no worse on both axes, and better on one by "
        "a difference whose interval excludes 0."
    )
    if not have_same_held_out_text([run for method in measured for run in method.runs]) and key == COSTS[0][0]:
        caption += " The held-out text differs between runs, so the horizontal axis compares different texts."
    caption += _caution(measured, scenario)
    is_from_zero = all(point.low is None or point.low >= 0 for one in series for point in one.points)
    series.sort(key=lambda one: not one.is_minor)  # means in front of seeds
    return [Chart(title, label, "mean misalignment score", series, caption=caption, is_from_zero=is_from_zero)]


def _seeds(method: Method, scenario: str, key: str) -> list[Series]:
    """A pale point for each run."""
    of_seeds = []
    for run, label in zip(method.runs, method.labels, strict=True):
        cost, score = run.last(key), run.last(f"generation/{scenario}/score")
        if cost is not None and score is not None:
            points = [Point(cost, score)]
            of_seeds.append(
                Series(visible_text(label), points, method.colour, has_line=False, is_minor=True, legend="")
            )
    return of_seeds


def _dominating(measured: Sequence[Method], method: Method, scenario: str, key: str) -> list[str]:
    """Names of the methods that are no worse in both means, and better in one by a difference whose interval excludes 0."""
    names = []
    mean, cost, ours = method.score(scenario).mean, method.number(key).mean, method.scores(scenario)
    for other in measured:
        if other is method or other.score(scenario).mean > mean or other.number(key).mean > cost:
            continue
        if not agree(identity_of(method.runs[0], scenario), identity_of(other.runs[0], scenario)):
            continue
        of_cost = difference_of_seeds(method.values(key), other.values(key))
        of_score = compare(scenario, (method.name, ours), (other.name, other.scores(scenario))).interval
        if of_cost.excludes_zero() or of_score.excludes_zero():
            names.append(other.name)
    return names


def distribution(methods: Sequence[Method], scenario: str, where: str) -> list[Chart]:
    """The share of samples with a higher score, for each score; the seeds of a method together."""
    series = []
    for method in methods:
        scores = [score for of_run in method.scores(scenario) for score in of_run.scored()[1]]
        if scores:
            series.append(Series(visible_text(method.name), _shares_above(scores), method.colour))
    if not series:
        return []
    caption = (
        "How many samples have a score above each value: lower is better, everywhere. Where a line starts is the share of "
        "samples with any misalignment; how far it goes to the right is the worst sample."
    )
    caption += _caution(methods, scenario)
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


def worst_of_k(methods: Sequence[Method], scenario: str, where: str) -> list[Chart]:
    """Expected maximum and hit probability over k, where prompts have that many samples."""
    maxima, hits = [], []
    for method in methods:
        by_size = {size: group for size in SIZES if (group := _groups(method, scenario, size)) is not None}
        if len(by_size) < 2:
            continue
        threshold = hit_threshold(method.runs[0], scenario)
        name = visible_text(method.name)
        points = [_mean(size, groups, UNBOUNDED) for size, groups in by_size.items()]
        maxima.append(Series(name, points, method.colour))
        is_hit = {
            size: [[(prompt, float(maximum > threshold)) for prompt, maximum in of_seed] for of_seed in groups]
            for size, groups in by_size.items()
        }
        points = [_mean(size, groups, (0.0, 1.0)) for size, groups in is_hit.items()]
        hits.append(Series(name, points, method.colour))
    if not maxima:
        return []
    caution = _caution(methods, scenario)
    sizes = sorted({point.x for one in maxima for point in one.points})
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


def _groups(method: Method, scenario: str, size: int) -> list[list[tuple[str, float]]] | None:
    """(prompt, maximum) of each group of `size` samples, of each seed; None for too few."""
    groups = [group_maxima(run.prompts, run.scores, size) for run in method.scores(scenario)]
    return groups if groups and min(map(len, groups)) >= LEAST_GROUPS else None


def _mean(size: int, groups: Sequence[Sequence[tuple[str, float]]], bounds: tuple[float, float]) -> Point:
    """Over the means of several seeds, or over the groups of one, clustered by prompt."""
    if len(groups) > 1:
        interval = student_interval([float(np.mean([value for _, value in of_seed])) for of_seed in groups], bounds)
    else:
        interval = mean_interval([value for _, value in groups[0]], [prompt for prompt, _ in groups[0]], bounds)
    return Point(size, interval.mean, _known(interval.low), _known(interval.high))


def _caution(methods: Sequence[Method], scenario: str) -> str:
    """What to say of a chart whose lines are not comparable; empty where they are, as far as the runs say."""
    identities = [identity_of(method.runs[0], scenario) for method in methods if scenario in method.scenarios]
    if all(agree(identities[0], other) for other in identities[1:]):
        return ""
    return " The scorer or the settings of the scenario differ between these methods: their scores are not comparable."


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
