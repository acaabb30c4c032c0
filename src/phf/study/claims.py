"""What a study says, in sentences: one for each comparison with the baseline, and one on which arms are dominated."""

import math
from collections.abc import Mapping

from phf.report.verdicts import Verdict, judged
from phf.statistics import Interval
from phf.study.analyse import Pair, TaskResult


def claims(result: TaskResult) -> list[str]:
    """The sentences about one task and scenario."""
    return [*(verdict.sentence for _, verdict in verdicts(result)), *dominance(result)]


def verdicts(result: TaskResult) -> list[tuple[str, Verdict]]:
    """(method, verdict) for each comparison with the baseline."""
    pairs = [pair for pair in result.pairs if pair.comparison.first == result.baseline]
    return [(pair.comparison.second, judged(pair.comparison, claim(pair))) for pair in pairs]


def dominance(result: TaskResult) -> list[str]:
    """Which arms are dominated by which, if that can be known."""
    measured = [arm for arm in result.arms if not math.isnan(arm.bits_per_byte.mean)]
    if len(measured) < 2:
        return []
    frontier = [arm.name for arm in measured if not arm.dominated_by]
    dominated = [f"{arm.name} (by {', '.join(arm.dominated_by)})" for arm in measured if arm.dominated_by]
    return [f"Not dominated: {', '.join(frontier) or 'none'}. Dominated: {', '.join(dominated) or 'none'}."]


def claim(pair: Pair, called: Mapping[str, str] | None = None) -> str:
    """ "conditional lies below mle by 0.0052 (0.0046 to 0.0058), held-out loss +0.8% (...)." and what the seeds allow.

    `called`: other names for the two arms.
    """
    score = pair.comparison
    first, second = ((called or {}).get(name, name) for name in (score.first, score.second))
    loss = _loss(pair)
    if pair.is_distinguished:
        side = "below" if score.difference < 0 else "above"
        ends = sorted((abs(score.low), abs(score.high)))
        overlap = "do not overlap" if pair.is_disjoint else "overlap"
        sentence = (
            f"{second} lies {side} {first} by {_number(abs(score.difference))} "
            f"({_number(ends[0])} to {_number(ends[1])}){loss}. The intervals of the two themselves {overlap}."
        )
    elif math.isnan(score.low):
        sentence = (
            f"{second} differs from {first} by {_signed(score.difference)}{loss}. The uncertainty of that is unknown: "
            "all samples or all seeds agree, or there is only one."
        )
    else:
        sentence = (
            f"{second} and {first} cannot be distinguished: the difference is {_signed(score.difference)} "
            f"({_signed(score.low)} to {_signed(score.high)}){loss}. {advice(pair)}"
        )
    sentence = sentence.rstrip()
    if score.first_seeds == score.second_seeds == 1:
        sentence += " One seed each: another seed might differ by more than these intervals."
    return sentence


def advice(pair: Pair) -> str:
    """How many more seeds or samples would distinguish the two; empty where they are, or that is not known."""
    return "" if pair.needed is None else pair.needed.describe()


def _loss(pair: Pair) -> str:
    percent = pair.bits_percent
    if math.isnan(percent.mean):
        return ""
    return f", held-out loss {_percent(percent)}"


def _percent(interval: Interval) -> str:
    known = "" if math.isnan(interval.low) else f" ({interval.low:+.2g}% to {interval.high:+.2g}%)"
    return f"{interval.mean:+.2g}%{known}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}"
