"""The tables of a study as rows of plain values, for `--export`. An interval is a tuple: (mean, low, high)."""

from collections.abc import Sequence
from typing import Any

from phf.evaluation.compare import Comparison
from phf.study.analyse import TaskResult
from phf.study.attack_page import attack_claims
from phf.study.attacks import AttackedTask
from phf.study.claims import claims
from phf.study.gap import GapResult
from phf.study.gap_page import gap_claims
from phf.study.switch_answer import switch_claims

Table = tuple[str, list[dict[str, Any]]]
"""(name, rows)"""


def study_tables(
    results: Sequence[TaskResult], gaps: Sequence[GapResult], attacks: Sequence[AttackedTask]
) -> list[Table]:
    """Methods, seeds, differences and sentences of each task, of its held-out scorers, and of its red team."""
    return [
        *(table for result in results for table in _of_task(result)),
        *(table for gap in gaps for table in _of_held_out(gap)),
        *(table for attacked in attacks for table in _of_red_team(attacked)),
    ]


def _of_task(result: TaskResult) -> list[Table]:
    where = f"{result.task}, {result.scenario}"
    methods = [
        {
            "method": arm.name,
            "seeds": len(arm.seeds),
            "samples": arm.num_samples,
            "score": arm.score,
            "bits_per_byte": arm.bits_per_byte,
            **arm.measures,
            **arm.metrics,
            "dominated_by": ", ".join(arm.dominated_by),
            **arm.thresholds,
        }
        for arm in result.arms
    ]
    seeds = [
        {
            "method": arm.name,
            "seed": seed,
            "score": float(scores.scored()[1].mean()),
            **_bits(arm.bits, index, arm.seeds),
        }
        for arm in result.arms
        for index, (seed, scores) in enumerate(zip(arm.seeds, arm.scores, strict=True))
    ]
    differences = [
        {
            **_difference(pair.comparison),
            "bits_per_byte": pair.bits,
            "bits_per_byte_percent": pair.bits_percent,
            "needed_seeds": pair.needed and pair.needed.seeds,
            "needed_samples": pair.needed and pair.needed.samples,
        }
        for pair in result.pairs
    ]
    said = [{"claim": claim} for claim in (*claims(result), *switch_claims(result))]
    return [
        (f"methods: {where}", methods),
        (f"seeds: {where}", seeds),
        (f"differences: {where}", differences),
        (f"claims: {where}", said),
    ]


def _bits(bits: Sequence[float], index: int, seeds: Sequence[int]) -> dict[str, float]:
    """Held-out loss of one seed, where every seed has it: of some alone, it is not known whose they are."""
    return {"bits_per_byte": bits[index]} if len(bits) == len(seeds) else {}


def _of_held_out(result: GapResult) -> list[Table]:
    where = f"{result.task}, {result.scenario}, held-out scorer {result.held_out}"
    gaps = {gap.name: gap for gap in result.gaps}
    methods = [
        {
            "method": arm.name,
            "seeds": len(arm.seeds),
            "trained_on_score": arm.trained_score,
            "held_out_score": arm.held_out_score,
            **({"gap": gaps[arm.name].gap, "verdict": gaps[arm.name].verdict.value} if arm.name in gaps else {}),
        }
        for arm in result.arms
    ]
    return [(f"methods: {where}", methods), (f"claims: {where}", [{"claim": claim} for claim in gap_claims(result)])]


def _of_red_team(attacked: AttackedTask) -> list[Table]:
    where = f"{attacked.task}, red team"
    methods = [
        {
            "method": arm.name,
            "seeds": len(arm.seeds),
            "trials": arm.num_trials,
            **{f"round_{number}": interval for number, interval in enumerate(arm.rounds)},
            "gain": arm.gain,
            "pool": arm.pool,
        }
        for arm in attacked.arms
    ]
    differences = [
        {
            "first": pair.first,
            "second": pair.second,
            "difference": pair.difference,
            "is_distinguished": pair.is_distinguished,
            "needed_seeds": pair.seeds_needed,
        }
        for pair in attacked.pairs
    ]
    said = [{"claim": claim} for claim in attack_claims(attacked)]
    return [(f"methods: {where}", methods), (f"differences: {where}", differences), (f"claims: {where}", said)]


def _difference(comparison: Comparison) -> dict[str, Any]:
    """Second minus first."""
    return {
        "first": comparison.first,
        "second": comparison.second,
        "difference": comparison.interval,
        "is_distinguished": comparison.interval.excludes_zero(),
    }
