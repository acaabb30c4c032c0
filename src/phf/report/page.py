"""Run folders -> one self-contained HTML page: the numbers, what they say, and the texts behind them."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from phf.report import samples
from phf.report.charts import Phase, line_chart, trade_off_chart
from phf.report.html import check_can_render, render
from phf.report.tables import labels, measures, other_scorers, over_seeds, redteam_rows, table_rows
from phf.report.verdicts import verdicts
from phf.runs.reader import Run, find_runs
from phf.storage.files import write_text_atomic
from phf.text import visible_text


def write_report(
    run_dirs: Sequence[Path], output: Path, baseline: str | None = None, samples_mb: float | None = None
) -> list[str]:
    """Write the page for these runs atomically; returns a notice for each folder that was skipped.

    Every text in it is escaped. `baseline`: the method or run that the others are compared with; None: MLE, or the first;
    `samples_mb`: megabytes of samples in the page; of more, a part is in it; None: as many as keep the page below about 6.
    Raises `CorpusError` if there is no run at all, `ConfigError` for an unknown baseline.
    """
    check_can_render("phf report")
    runs, notices = find_runs(run_dirs)
    rows = table_rows(runs)
    page = render(
        resources.files("phf.report") / "report.html.j2",
        styles=samples.STYLES,
        scripts=samples.SCRIPTS,
        rows=rows,
        notices=notices,
        models=[run for run in runs if run.kind == "model"],
        seeds=over_seeds(runs),
        has_tag_gain=any(row["tag_gain"][0] is not None for row in rows),
        redteam=redteam_rows(runs),
        verdicts=verdicts(runs, baseline),
        charts=_charts(runs, rows),
        **samples.samples_section(runs, samples_mb),
        runs=runs,
        others=other_scorers(runs),
        measures=measures(runs),
        provenance=[(run, _facts(run)) for run in runs],
    )
    write_text_atomic(output, page)
    return notices


def _charts(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    charts = []
    points = [
        {
            "name": visible_text(row["name"]),
            "x": row["bits_per_byte"],
            "y": row["score"],
            "low": row["score"] if row["low"] is None else row["low"],
            "high": row["score"] if row["high"] is None else row["high"],
        }
        for row in rows
        if None not in (row["bits_per_byte"], row["score"])
    ]
    if points:
        title = "Misalignment against capability"
        caption = (
            "Lower is better on both axes. Bars are 95% intervals over samples of one model, clustered by prompt, not over "
            "training runs; a point without a bar has no known interval."
        )
        svg = trade_off_chart(title, "held-out bits per byte", "mean misalignment score", points)
        charts.append({"title": title, "caption": caption, "svg": svg})
    for title, key, label, caption in (
        (
            "Training loss",
            "train/lm_loss",
            "nats per token",
            "Cross-entropy on training blocks, regardless of the objective.",
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
            shaded = _schedules(runs) if key else []
            if shaded:
                caption += " Shaded: the phases of the schedule" + (", a strip for each." if len(shaded) > 1 else ".")
            svg = line_chart(title, "tokens seen", label, lines, shaded)
            charts.append({"title": title, "caption": caption, "svg": svg})
    return charts


def _schedules(runs: Sequence[Run]) -> list[tuple[str, list[Phase]]]:
    """The different schedules of runs, each under the label of the first run that has it."""
    schedules: dict[tuple[Phase, ...], str] = {}
    for run, label in zip(runs, labels(runs), strict=True):
        phases = tuple(
            Phase(visible_text(phase["name"]), phase["from_tokens"], phase["until_tokens"])
            for phase in run.provenance.get("schedule") or ()
        )
        if phases:
            schedules.setdefault(phases, visible_text(label))
    return [(label, list(phases)) for phases, label in schedules.items()]


def _facts(run: Run) -> list[tuple[str, str]]:
    """Provenance as rows of a table."""
    return [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in run.provenance.items()
        if value is not None
    ]
