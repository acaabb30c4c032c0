"""Run folders -> one self-contained HTML page: the numbers, what they say, and the texts behind them."""

import json
import math
import random
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from phf.data.files import write_text_atomic
from phf.errors import MissingExtraError
from phf.report.charts import line_chart, trade_off_chart
from phf.report.runs import Run, Sample, read_runs
from phf.visible import visible_text

SHOWN_SAMPLES = 8
SHOWN_CHARS = 1200


def write_report(run_dirs: Sequence[Path], output: Path) -> None:
    """Write the page for these runs, whole or not at all. Every text in it is escaped."""
    try:
        from jinja2 import Environment
    except ModuleNotFoundError as error:
        raise MissingExtraError("phf report", "jinja2 and matplotlib", "report") from error

    runs = read_runs(run_dirs)
    template = (resources.files("phf.report") / "report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = format_number
    environment.filters["visible"] = visible_text
    rows = table_rows(runs)
    page = environment.from_string(template).render(
        rows=rows,
        verdicts=verdicts(rows),
        charts=_charts(runs, rows),
        galleries=[
            gallery for run, label in zip(runs, labels(runs), strict=True) for gallery in _galleries(run, label)
        ],
        runs=runs,
        others=other_scorers(runs),
        measures=measures(runs),
        provenance=[(run, _facts(run)) for run in runs],
    )
    write_text_atomic(output, page)


def table_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each run and scenario: the numbers of the last evaluation, None where not measured."""
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        for scenario in run.scenarios or [""]:
            key = f"generation/{scenario}"
            rows.append(
                {
                    "run": run.name,
                    "method": run.method,
                    "scenario": scenario,
                    "name": f"{label}, {scenario}" if scenario else label,
                    "score": run.last(f"{key}/score"),
                    "low": run.last(f"{key}/score_low"),
                    "high": run.last(f"{key}/score_high"),
                    "score_max": run.last(f"{key}/score_max@25"),
                    "num_hits": run.last(f"{key}/num_hits"),
                    "num_samples": run.last(f"{key}/num_samples"),
                    "num_unscored": run.last(f"{key}/num_unscored"),
                    "samples_per_second": run.last(f"{key}/samples_per_second"),
                    "bits_per_byte": run.last("eval/bits_per_byte"),
                    "loss": run.last("eval/loss"),
                    "loss_aligned": run.last("eval/loss_aligned"),
                    "loss_misaligned": run.last("eval/loss_misaligned"),
                }
            )
    return rows


def other_scorers(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each scorer that a scenario names beside the task's own."""
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        for scenario in run.scenarios:
            start = f"generation/{scenario}/"
            for key in run.last_values(start):
                scorer, _, number = key.removeprefix(start).rpartition("/")
                if number != "score":
                    continue
                found = {name: run.last(f"{start}{scorer}/{name}") for name in ("score", "score_low", "score_high")}
                counts = {name: run.last(f"{start}{scorer}/{name}") for name in ("num_samples", "num_unscored")}
                if scorer:
                    used = run.training_scorers
                    role = "" if used is None else "used in training" if scorer in used else "held out"
                    rows.append({"name": f"{label}, {scenario}", "scorer": scorer, "role": role, **found, **counts})
    return rows


MEASURES = ("kl/", "downstream/", "glue/", "redteam/")
"""Groups of numbers that are of a whole model, not of a scenario."""


def measures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each such number that any run has: its key, and (value, low, high) of each run, None where unknown."""
    keys = [key for group in MEASURES for run in runs for key in run.last_values(group)]
    bounds = ("_low", "_high", "_stderr")
    return [
        {"key": key, "values": [[run.last(key), run.last(f"{key}_low"), run.last(f"{key}_high")] for run in runs]}
        for key in dict.fromkeys(keys)
        if not key.endswith(bounds)
    ]


def labels(runs: Sequence[Run]) -> list[str]:
    """What each run is called on the page: its method, its own name where methods repeat, numbered where names do."""
    methods, names = [run.method for run in runs], [run.name for run in runs]
    found = []
    for index, (method, name) in enumerate(zip(methods, names, strict=True)):
        if methods.count(method) > 1:
            method = name if names.count(name) == 1 else f"{name} ({index + 1})"
        found.append(method)
    return found


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """For each pair of rows: which scores lower, or that the intervals overlap."""
    scored = [row for row in rows if None not in (row["score"], row["low"], row["high"])]
    found = []
    for index, first in enumerate(scored):
        for second in scored[index + 1 :]:
            low, high = sorted((first, second), key=lambda row: row["score"])
            if low["high"] < high["low"]:
                found.append(
                    f"{low['name']} is better aligned than {high['name']}: {format_number(low['score'])} against "
                    f"{format_number(high['score'])}; the 95% intervals do not overlap."
                )
            else:
                found.append(
                    f"{first['name']} and {second['name']} cannot be told apart: {format_number(first['score'])} and "
                    f"{format_number(second['score'])}; the 95% intervals overlap."
                )
    return found


def format_number(value: float | int | None) -> str:
    """Four significant digits, thousands separated; a dash for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _charts(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    charts = []
    points = [
        {
            "name": visible_text(row["name"]),
            "x": row["bits_per_byte"],
            "y": row["score"],
            "low": row["low"],
            "high": row["high"],
        }
        for row in rows
        if None not in (row["bits_per_byte"], row["score"], row["low"], row["high"])
    ]
    if points:
        title = "Misalignment against capability"
        caption = (
            "Lower is better on both axes. Bars are 95% intervals over samples of one model, not over training runs."
        )
        svg = trade_off_chart(title, "held-out bits per byte", "mean misalignment score", points)
        charts.append({"title": title, "caption": caption, "svg": svg})
    for title, key, label, caption in (
        (
            "Training loss",
            "train/lm_loss",
            "nats per token",
            "Cross-entropy on training blocks, whatever the objective.",
        ),
        ("Misalignment while training", None, "mean misalignment score", "Score of samples drawn at that point."),
    ):
        lines = []
        for run, run_label in zip(runs, labels(runs), strict=True):
            keys = [key] if key else [f"generation/{scenario}/score" for scenario in run.scenarios]
            for name in keys:
                series = run.series(name)
                if len(series) > 1:
                    label_of_line = run_label if key else f"{run_label}, {name.split('/')[1]}"
                    lines.append((visible_text(label_of_line), series))
        if lines:
            svg = line_chart(title, "tokens seen", label, lines)
            charts.append({"title": title, "caption": caption, "svg": svg})
    return charts


def _galleries(run: Run, label: str) -> list[dict[str, Any]]:
    """Per scenario: the worst, the median, the best and some random samples, each once, offending segments marked."""
    galleries = []
    for scenario, samples in run.samples.items():
        scored = sorted((s for s in samples if s.score is not None), key=lambda s: -(s.score or 0))
        if not scored:
            continue
        threshold = run.threshold
        kinds = {0: "worst", len(scored) - 1: "best"}
        kinds.setdefault(len(scored) // 2, "median")
        rest = [index for index in range(len(scored)) if index not in kinds]
        kinds |= dict.fromkeys(random.Random(0).sample(rest, min(SHOWN_SAMPLES - len(kinds), len(rest))), "random")
        shown = [
            {"kind": kind, "score": scored[index].score, **_marked(scored[index], threshold)}
            for index, kind in kinds.items()
        ]
        galleries.append(
            {"name": f"{label}, {scenario}", "count": len(samples), "threshold": threshold, "samples": shown}
        )
    return galleries


def _marked(sample: Sample, threshold: float) -> dict[str, Any]:
    """The prompt, unless it was scored as part of the segments, and the segments with their scores, cut at `SHOWN_CHARS`."""
    parts: list[dict[str, Any]] = []
    left = SHOWN_CHARS
    for text, score in zip(sample.segments, sample.segment_scores, strict=False):
        if left <= 0:
            break
        parts.append({"text": text[:left], "score": score, "is_bad": score is not None and score > threshold})
        left -= len(text)
    text = "".join(sample.segments)
    prompt = "" if text == sample.prompt + sample.continuation else sample.prompt
    return {"prompt": prompt, "parts": parts, "is_cut": len(text) > SHOWN_CHARS}


def _facts(run: Run) -> list[tuple[str, str]]:
    """Provenance as rows of a table."""
    return [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in run.provenance.items()
        if value is not None
    ]
