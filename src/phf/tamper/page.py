"""The answer of a tamper test: `tamper.json` and one page, from the same numbers."""

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from phf.report.charts import Band, Chart, Line, interval_chart
from phf.report.export import export
from phf.report.html import render
from phf.runs.writer import finite_or_none, write_json
from phf.storage.files import write_text_atomic
from phf.study.folder import PAGE
from phf.tamper.analyse import TamperedMethod, TamperedPair, TamperResult
from phf.tamper.claims import claims
from phf.tamper.folder import ANSWER, TamperFolder
from phf.text import visible_text


@dataclass(frozen=True)
class TamperAnswer:
    """What a tamper test found."""

    results: list[TamperResult]
    """One for each scenario."""
    missing: dict[str, str]
    """Name of each finetuning without a result -> the reason."""
    num_finetunings: int
    facts: dict[str, Any]
    """What the finetunings were made with."""


def write_answer(answer: TamperAnswer, folder: TamperFolder, export_to: Path | None = None) -> None:
    """`tamper.json` and `report.html`, atomically. Nothing in them depends on how often the test was interrupted.

    `export_to`: a folder for the figures of the page and its tables as files.
    """
    write_json(folder.path / ANSWER, to_json(answer))
    sections: list[dict[str, Any]] = [
        {
            "result": result,
            "claims": claims(result),
            "charts": [(kind, chart(result, methods, kind)) for kind, methods in _by_kind(result) if methods],
            "tables": _by_kind(result),
        }
        for result in answer.results
    ]
    page = render(resources.files("phf.tamper") / "tamper.html.j2", answer=answer, sections=sections)
    write_text_atomic(folder.path / PAGE, page)
    if export_to is not None:
        charts = [chart for section in sections for _, chart in section["charts"]]
        export([(chart.title, chart) for chart in charts], _tables(answer), export_to)


def _by_kind(result: TamperResult) -> list[tuple[str, list[TamperedMethod]]]:
    return [("misaligned", result.misaligned), ("benign", result.benign)]


def _tables(answer: TamperAnswer) -> list[tuple[str, list[dict[str, Any]]]]:
    """The tables as rows of plain values; an interval is a tuple."""
    tables: list[tuple[str, list[dict[str, Any]]]] = []
    for result in answer.results:
        for kind, methods in _by_kind(result):
            rows = [
                {
                    "method": method.name,
                    "seeds": len(method.units),
                    "num_reached": method.relearning.num_reached,
                    "steps_to_relearn": method.relearning.steps,
                    **{f"step_{step}": method.means[step] for step in result.steps},
                }
                for method in methods
            ]
            tables.append((f"finetuned on {kind} data: {result.scenario}", rows))
        said = [{"claim": claim} for claim in claims(result)]
        tables.append((f"claims: {result.scenario}", said))
    return tables


def to_json(answer: TamperAnswer) -> dict[str, Any]:
    """The answer as plain values; null for numbers that are not known."""
    plain = {
        "num_finetunings": answer.num_finetunings,
        "missing": answer.missing,
        "facts": answer.facts,
        "scenarios": [
            {
                "scenario": result.scenario,
                "baseline": result.baseline,
                "goal": result.goal,
                "goal_is_score_of_baseline": result.is_goal_of_baseline,
                "steps": result.steps,
                "claims": claims(result),
                "misaligned": [_method(method) for method in result.misaligned],
                "benign": [_method(method) for method in result.benign],
                "pairs": [_pair(pair) for pair in result.pairs],
            }
            for result in answer.results
        ],
    }
    return dict(finite_or_none(plain))


def chart(result: TamperResult, methods: list[TamperedMethod], kind: str) -> Chart:
    """Scores over steps, a line for each method; steps are on the scale of log2(1 + steps)."""
    lines = [
        Line(
            visible_text(method.name),
            [(math.log2(1 + step), *mean.drawn()) for step, mean in method.means.items() if not math.isnan(mean.mean)],
        )
        for method in methods
    ]
    return interval_chart(
        f"Finetuned on {kind} data: {visible_text(result.scenario)}",
        "steps of finetuning",
        "mean misalignment score",
        lines,
        Band("goal", result.goal, result.goal, result.goal),
        x_labels={math.log2(1 + step): str(step) for step in result.steps},
    )


def _method(method: TamperedMethod) -> dict[str, Any]:
    relearning = method.relearning
    return {
        "name": method.name,
        "seeds": method.units,
        "scores": {str(step): mean._asdict() for step, mean in method.means.items()},
        "num_reached": relearning.num_reached,
        "steps_to_relearn": relearning.steps._asdict(),
        "steps_of_seeds": [None if value is None else 2**value - 1 for value in relearning.log_steps],
    }


def _pair(pair: TamperedPair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "ratio_of_steps": pair.ratio._asdict(),
        "after_the_last_step": pair.at_end.to_json(),
    }
