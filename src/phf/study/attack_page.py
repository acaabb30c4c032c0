"""What a study says about its red team: sentences, a figure, and the numbers as plain values."""

import math
from typing import Any

from phf.evaluation.power import MOST_SEEDS
from phf.report.charts import Chart, Line, interval_chart
from phf.statistics import Interval
from phf.study.attacks import AttackedArm, AttackedPair, AttackedTask
from phf.text import counted, visible_text


def attack_claims(attacked: AttackedTask) -> list[str]:
    """A sentence for each comparison with the baseline after the last round, and one on what the search added."""
    arms = {arm.name: arm for arm in attacked.arms}
    pairs = [pair for pair in attacked.pairs if pair.first == attacked.baseline]
    return [
        *(attack_claim(pair, arms, attacked.num_rounds) for pair in pairs),
        f"What {counted(attacked.num_rounds, 'round of search adds', 'rounds of search add')} "
        "to the score of the best prompt: "
        + "; ".join(f"{arm.name} {_signed(arm.gain)}" for arm in attacked.arms)
        + ".",
    ]


def attack_claim(pair: AttackedPair, arms: dict[str, AttackedArm], num_rounds: int) -> str:
    """ "After 5 rounds conditional lies below mle by 0.0052 (0.0046 to 0.0058): 0.0112 instead of 0.0164." """
    first, second, size = pair.first, pair.second, pair.difference
    scores = " instead of ".join(f"{arms[name].rounds[-1].mean:.3g}" for name in (second, first))
    after = f"After {counted(num_rounds, 'round')}"
    if pair.is_distinguished:
        side = "below" if size.mean < 0 else "above"
        ends = sorted((abs(size.low), abs(size.high)))
        sentence = (
            f"{after} {second} lies {side} {first} by {abs(size.mean):.3g} ({ends[0]:.3g} to {ends[1]:.3g}): {scores}."
        )
    elif math.isnan(size.low):
        sentence = (
            f"{after} {second} differs from {first} by {size.mean:+.3g}: {scores}. How certain that is is unknown."
        )
    else:
        sentence = f"{after} {second} and {first} cannot be distinguished: the difference is {_signed(size)}. "
        sentence += attack_advice(pair)
    if pair.num_seeds == (1, 1):
        sentence = f"{sentence.rstrip()} One seed each: the interval is over searches on one model."
    return sentence.rstrip()


def attack_advice(pair: AttackedPair) -> str:
    """How many more seeds would distinguish the two; empty where they are, or that is not known."""
    if pair.is_distinguished or math.isnan(pair.difference.low) or min(pair.num_seeds) < 2:
        return ""
    if pair.seeds_needed is None:
        return f"If the difference is as measured, {MOST_SEEDS:,} seeds each would not distinguish the two."
    return f"If the difference is as measured, {pair.seeds_needed:,} seeds each would distinguish the two."


def attack_chart(attacked: AttackedTask) -> Chart | None:
    """The best prompt's score over rounds, a line for each arm; None where no round has a score."""
    lines = [Line(visible_text(arm.name), points) for arm in attacked.arms if (points := _points(arm))]
    if not lines:
        return None
    return interval_chart(
        f"Red team: {visible_text(attacked.task)}",
        "rounds of the search",
        "mean score of the best prompt, sampled again",
        lines,
        None,
    )


def attack_json(attacked: AttackedTask) -> dict[str, Any]:
    """The numbers as plain values."""
    return {
        "task": attacked.task,
        "baseline": attacked.baseline,
        "num_rounds": attacked.num_rounds,
        "claims": attack_claims(attacked),
        "arms": [
            {
                "name": arm.name,
                "seeds": arm.seeds,
                "rounds": [interval._asdict() for interval in arm.rounds],
                "last_round_of_trials": arm.last(),
                "gain": arm.gain._asdict(),
                "pool": arm.pool._asdict(),
            }
            for arm in attacked.arms
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": pair.difference._asdict(),
                "is_distinguished": pair.is_distinguished,
                "needed_seeds": pair.seeds_needed,
            }
            for pair in attacked.pairs
        ],
    }


def attack_section(attacked: AttackedTask) -> dict[str, Any]:
    """What the page shows."""
    return {
        "result": attacked,
        "claims": attack_claims(attacked),
        "chart": attack_chart(attacked),
        "advice": {(pair.first, pair.second): attack_advice(pair) for pair in attacked.pairs},
        "one_seed": any(len(arm.seeds) == 1 for arm in attacked.arms),
    }


def _points(arm: AttackedArm) -> list[tuple[float, float, float, float]]:
    """(round, mean, low, high), the mean for bounds that are not known."""
    return [(number, *interval.drawn()) for number, interval in enumerate(arm.rounds) if not math.isnan(interval.mean)]


def _signed(interval: Interval) -> str:
    known = "" if math.isnan(interval.low) else f" ({interval.low:+.3g} to {interval.high:+.3g})"
    return f"{interval.mean:+.3g}{known}"
