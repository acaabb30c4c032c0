"""The answer of a study: `study.json` and one page, from the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from phf.report.charts import Chart, trade_off_chart
from phf.report.export import export
from phf.report.html import render
from phf.runs.writer import finite_or_none, write_json
from phf.storage.files import write_text_atomic
from phf.study.analyse import ArmResult, Pair, TaskResult
from phf.study.attack_page import attack_chart, attack_json, attack_section
from phf.study.attacks import AttackedTask
from phf.study.claims import advice, claims, dominance, verdicts
from phf.study.export import study_tables
from phf.study.folder import ANSWER, PAGE, StudyFolder
from phf.study.gap import GapResult
from phf.study.gap_page import gap_json, sections_of
from phf.study.switch_answer import switch_charts, switch_claims
from phf.text import visible_text


@dataclass(frozen=True)
class Answer:
    """What a study found."""

    name: str
    results: list[TaskResult]
    attacks: list[AttackedTask]
    """The red team, of a study that has one."""
    gaps: list[GapResult]
    """The methods by scorers that they were not trained on, of a study that names some."""
    missing: dict[str, str]
    """Name of each run without a result, or of what was to be measured on it -> the reason."""
    num_runs: int
    """Of the whole study."""
    num_whole: int
    """Runs that nothing is missing of."""
    facts: dict[str, Any]
    """What the runs were made with, the same for every attempt: tokens, hardware, versions."""


def write_answer(answer: Answer, folder: StudyFolder, export_to: Path | None = None) -> None:
    """`study.json` and `report.html`, atomically. Nothing in them depends on how often the study was interrupted.

    `export_to`: a folder for the figures of the page and its tables as files.
    """
    write_json(folder.path / ANSWER, to_json(answer))
    page = render(
        resources.files("phf.study") / "study.html.j2",
        answer=answer,
        sections=[_section(result, answer.gaps) for result in answer.results],
        attacks=[attack_section(attacked) for attacked in answer.attacks],
        one_seed=any(len(arm.seeds) == 1 for result in answer.results for arm in result.arms),
    )
    write_text_atomic(folder.path / PAGE, page)
    if export_to is not None:
        charts = charts_of(answer.results, answer.gaps, answer.attacks)
        tables = study_tables(answer.results, answer.gaps, answer.attacks)
        export([(chart.title, chart) for chart in charts], tables, export_to)


def _section(result: TaskResult, gaps: Sequence[GapResult]) -> dict[str, Any]:
    """What the page shows of one task and scenario."""
    return {
        "result": result,
        "verdicts": [(name, [verdict]) for name, verdict in verdicts(result)],
        "dominance": dominance(result),
        "percentiles": [
            f"{arm.name}: " + "; ".join(f"{key.rpartition('.')[2]} {value}" for key, value in arm.thresholds.items())
            for arm in result.arms
            if arm.thresholds
        ],
        "chart": _chart(result),
        "gaps": sections_of(gaps, result.task, result.scenario),
        "switch_claims": switch_claims(result),
        "switch_charts": switch_charts(result),
        "keys": list(dict.fromkeys(key for arm in result.arms for key in arm.measures)),
        "metrics": list(dict.fromkeys(key for arm in result.arms for key in arm.metrics)),
        "advice": {_names(pair): advice(pair) for pair in result.pairs},
    }


def charts_of(results: Sequence[TaskResult], gaps: Sequence[GapResult], attacks: Sequence[AttackedTask]) -> list[Chart]:
    """All charts, in the order of the page."""
    charts: list[Chart | None] = []
    for result in results:
        of_gaps = sections_of(gaps, result.task, result.scenario)
        charts += [*switch_charts(result), _chart(result), *(gap["chart"] for gap in of_gaps)]
    charts += [attack_chart(attacked) for attacked in attacks]
    return [chart for chart in charts if chart is not None]


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain values; null for numbers that are not known."""
    plain = {
        "study": answer.name,
        "num_runs": answer.num_runs,
        "missing": answer.missing,
        "facts": answer.facts,
        "tasks": [
            {
                "task": result.task,
                "scenario": result.scenario,
                "baseline": result.baseline,
                "claims": claims(result),
                "switch_claims": switch_claims(result),
                "arms": [_arm(arm) for arm in result.arms],
                "pairs": [_pair(pair) for pair in result.pairs],
            }
            for result in answer.results
        ],
        "held_out_scorers": [gap_json(result) for result in answer.gaps],
        "redteam": [attack_json(attacked) for attacked in answer.attacks],
    }
    return dict(finite_or_none(plain))


def _arm(arm: ArmResult) -> dict[str, Any]:
    return {
        "name": arm.name,
        "switch_point": arm.switch_point,
        "seeds": arm.seeds,
        "score": arm.score._asdict(),
        "scores_of_seeds": [float(run.scored()[1].mean()) for run in arm.scores],
        "bits_per_byte": arm.bits_per_byte._asdict(),
        "bits_per_byte_of_seeds": arm.bits,
        "measures": {key: interval._asdict() for key, interval in arm.measures.items()},
        "metrics": {key: interval._asdict() for key, interval in arm.metrics.items()},
        "thresholds": arm.thresholds,
        "dominated_by": arm.dominated_by,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        **pair.comparison.to_json(),
        "is_distinguished": pair.is_distinguished,
        "intervals_are_disjoint": pair.is_disjoint,
        "bits_per_byte": pair.bits._asdict(),
        "bits_per_byte_percent": pair.bits_percent._asdict(),
        "needed_seeds": pair.needed and pair.needed.seeds,
        "needed_samples": pair.needed and pair.needed.samples,
    }


def _names(pair: Pair) -> tuple[str, str]:
    return pair.comparison.first, pair.comparison.second


def _chart(result: TaskResult) -> Chart | None:
    """Misalignment against held-out loss, of the arms without a switch if there are any; None where no arm has both."""
    from_start = [arm for arm in result.arms if not arm.switch_point]
    points = []
    for arm in from_start:
        if not math.isnan(arm.bits_per_byte.mean):
            x, x_low, x_high = arm.bits_per_byte.drawn()
            y, low, high = arm.score.drawn()
            name = visible_text(arm.name)
            point = {"name": name, "x": x, "x_low": x_low, "x_high": x_high, "y": y, "low": low, "high": high}
            if arm.dominated_by:
                point |= {"is_hollow": True, "note": f"Dominated by {visible_text(', '.join(arm.dominated_by))}."}
            points.append(point)
    if not points:
        return None
    return trade_off_chart(
        f"Misalignment against held-out loss: {visible_text(result.task)}, {visible_text(result.scenario)}",
        "held-out bits per byte",
        "mean misalignment score",
        points,
    )
