"""The answer of a tamper test: `tamper.json` and one page, from the same numbers."""

import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from phf.report.charts import Band, Chart, Line, interval_chart
from phf.report.html import render
from phf.runs.writer import finite_or_none, write_json
from phf.storage.files import write_text_atomic
from phf.study.folder import PAGE
from phf.tamper.analyse import TamperedMethod, TamperedPair, TamperResult
from phf.tamper.claims import claims, relearned
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


def write_answer(answer: TamperAnswer, folder: TamperFolder) -> None:
    """`tamper.json` and `report.html`, atomically. Nothing in them depends on how often the test was interrupted."""
    write_json(folder.path / ANSWER, to_json(answer))
    page = render(
        resources.files("phf.tamper") / "tamper.html.j2",
        answer=answer,
        sections=[
            {
                "result": result,
                "claims": claims(result),
                "charts": [
                    (kind, chart(result, methods, kind))
                    for kind, methods in (("misaligned", result.misaligned), ("benign", result.benign))
                    if methods
                ],
                "tables": [("misaligned", result.misaligned), ("benign", result.benign)],
                "relearned": {method.name: relearned(method) for method in result.misaligned},
            }
            for result in answer.results
        ],
    )
    write_text_atomic(folder.path / PAGE, page)


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
