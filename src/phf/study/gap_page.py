"""What a study says about held-out scorers: sentences, a figure, and the numbers as plain values."""

import math
from collections.abc import Sequence
from typing import Any

from phf.evaluation.compare import Comparison
from phf.report.charts import Chart, trade_off_chart
from phf.study.gap import Gap, GapResult, Verdict
from phf.text import visible_text

WARNING = "Warning, over-optimisation: "
POSSIBLE = "Over-optimisation cannot be ruled out: "


def gap_claims(result: GapResult) -> list[str]:
    """A sentence for each method compared with the baseline, and one on those that are not."""
    return [claim for claim, _ in marked_claims(result)]


def marked_claims(result: GapResult) -> list[tuple[str, bool]]:
    """The same, each with whether it is a warning."""
    claims = [(gap_claim(gap, result), gap.verdict.is_warning) for gap in result.gaps]
    if result.trained:
        methods, were = ", ".join(result.trained), "was" if len(result.trained) == 1 else "were"
        claims.append((f"{methods} {were} trained on {result.held_out}, too, so it is not held out there.", False))
    return claims


def gap_claim(gap: Gap, result: GapResult) -> str:
    """ "Warning, over-optimisation: awr improves on mle by PEP8Scorer, on which it was trained (-0.01 ...), but ..." """
    first, second = result.baseline, gap.name
    trained, held_out = (
        f"{name} ({_signed(one.difference, one.low, one.high)})"
        for name, one in ((result.trained_on, gap.trained), (result.held_out, gap.held_out))
    )
    size = f" Gap: {_signed(*gap.gap)} standard deviations." if not math.isnan(gap.gap.mean) else ""
    if gap.verdict is Verdict.NOT_IMPROVED:
        sentence = (
            f"{second} does not measurably improve on {first} by the trained-on {trained}, so there is nothing to "
            f"over-optimise; the held-out score differs by {_signed_of(gap.held_out)}."
        )
        return sentence + size + _seeds(gap)
    improves = f"{second} improves on {first} by the trained-on {trained}"
    if gap.verdict is Verdict.HOLDS:
        return f"{improves}, and by the held-out {held_out}, too.{size}{_seeds(gap)}"
    if gap.verdict is Verdict.WORSE:
        return f"{WARNING}{improves}, but is worse by the held-out {held_out}.{size}{_seeds(gap)}"
    if gap.verdict is Verdict.NOT_SHARED:
        return f"{WARNING}{improves}, but not measurably by the held-out {held_out}.{size}{_seeds(gap)}"
    more = "more seeds or samples would tell" if not math.isnan(gap.held_out.low) else "how certain that is is unknown"
    return f"{POSSIBLE}{improves}, but not measurably by the held-out {held_out}; {more}.{size}{_seeds(gap)}"


def gap_section(result: GapResult) -> dict[str, Any]:
    """What the page shows."""
    return {
        "result": result,
        "claims": marked_claims(result),
        "chart": _chart(result),
    }


def gap_json(result: GapResult) -> dict[str, Any]:
    """The numbers as plain values."""
    return {
        "task": result.task,
        "scenario": result.scenario,
        "baseline": result.baseline,
        "trained_on": result.trained_on,
        "held_out": result.held_out,
        "not_held_out_from": result.trained,
        "claims": gap_claims(result),
        "arms": [
            {
                "name": arm.name,
                "seeds": arm.seeds,
                "trained_on_score": arm.trained_score._asdict(),
                "held_out_score": arm.held_out_score._asdict(),
            }
            for arm in result.arms
        ],
        "gaps": [
            {
                "first": result.baseline,
                "second": gap.name,
                "trained_on": gap.trained.to_json(),
                "held_out": gap.held_out.to_json(),
                "gap": gap.gap._asdict(),
                "verdict": gap.verdict.value,
                "is_warning": gap.verdict.is_warning,
            }
            for gap in result.gaps
        ],
    }


def sections_of(results: Sequence[GapResult], task: str, scenario: str) -> list[dict[str, Any]]:
    """The sections of one task and scenario, one for each held-out scorer."""
    return [gap_section(result) for result in results if (result.task, result.scenario) == (task, scenario)]


def _chart(result: GapResult) -> Chart:
    """Held-out against trained-on score: where both are improvements, points move down and to the left."""
    points = []
    for arm in result.arms:
        x, x_low, x_high = arm.trained_score.drawn()
        y, low, high = arm.held_out_score.drawn()
        name = visible_text(arm.name)
        points.append({"name": name, "x": x, "x_low": x_low, "x_high": x_high, "y": y, "low": low, "high": high})
    held_out, trained_on = visible_text(result.held_out), visible_text(result.trained_on)
    return trade_off_chart(
        f"Held-out against trained-on score: {visible_text(result.task)}, {visible_text(result.scenario)}",
        f"{trained_on} (trained on)",
        f"{held_out} (held out)",
        points,
    )


def _signed_of(comparison: Comparison) -> str:
    return _signed(*comparison.interval)


def _signed(mean: float, low: float, high: float) -> str:
    known = "" if math.isnan(low) else f", {low:+.3g} to {high:+.3g}"
    return f"{mean:+.3g}{known}"


def _seeds(gap: Gap) -> str:
    if gap.trained.first_seeds == gap.trained.second_seeds == 1:
        return " One seed each: another seed might differ by more than these intervals."
    return ""
