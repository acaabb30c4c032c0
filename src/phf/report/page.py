"""Run folders -> one self-contained HTML page: the numbers, what they say, and the texts behind them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from phf.errors import ConfigError, CorpusError
from phf.report import samples
from phf.report.charts import Chart
from phf.report.curves import redteam_curves, training_curves
from phf.report.evaluations import evaluated_in, with_evaluations
from phf.report.export import check_can_export, export
from phf.report.figures import sample_charts, trade_offs
from phf.report.html import SCRIPTS, check_can_render, render
from phf.report.methods import by_task, methods_of
from phf.report.origins import find_audits, read_origins
from phf.report.settings import config_differences
from phf.report.tables import measures, other_scorers, over_seeds, redteam_rows, seed_groups, table_rows
from phf.report.verdicts import Verdict, chosen_baseline, compared, model_verdicts
from phf.report.warnings import warnings_of
from phf.runs.reader import Run, find_runs
from phf.storage.files import remove_remains, write_text_atomic

MODELS_ACROSS = 5
"""Runs beside one another in a table, as far as a page of 1,000 pixels has room."""


@dataclass(frozen=True)
class Part:
    """Everything about the runs of one task, whose numbers are comparable."""

    task: str
    runs: list[Run]
    verdicts: list[tuple[str, list[Verdict]]]
    """(method, what is to be said of it)"""
    warnings: list[str]
    trade_offs: list[Chart]
    """Misalignment against what it costs."""
    sample_charts: list[Chart]
    curves: list[Chart]
    redteam_charts: list[Chart]

    @property
    def charts(self) -> list[Chart]:
        """All of them, in the order of the page."""
        return [*self.trade_offs, *self.sample_charts, *self.curves, *self.redteam_charts]


def write_report(
    run_dirs: Sequence[Path],
    output: Path,
    baseline: str | None = None,
    samples_mb: float | None = None,
    export_to: Path | None = None,
) -> list[str]:
    """Write the page for these runs atomically; returns a notice for each folder that was skipped.

    Folders of `phf audit` among them say where samples of the runs come from. What `phf evaluate` measured of a run's model
    is shown as of that run; see `with_evaluations`.
    Every text in it is escaped. `baseline`: the method or run that the others are compared with; None: MLE, or the first;
    `samples_mb`: megabytes of samples in the page; of more, a part is in it; None: as many as keep the page below about 6;
    `export_to`: a folder for each figure as CSV, SVG and PNG, and each table as CSV.
    Raises `CorpusError` if there is no run at all, `ConfigError` for an unknown baseline or such a limit.
    """
    check_can_render("phf report")
    samples.check_samples_mb(samples_mb)
    check_can_export("phf report", export_to)
    remove_remains(output.parent, output.name)
    audits, run_dirs = find_audits(run_dirs)
    if audits and not run_dirs:
        raise CorpusError(f"{audits[0]} says where samples of a run come from. Give the folder of that run too.")
    runs, notices = find_runs(run_dirs)
    origins, unused = read_origins(audits, runs)
    notices += unused
    runs, origins = with_evaluations(runs, origins)
    parts = parts_of(runs, baseline)
    page = render(
        resources.files("phf.report") / "report.html.j2",
        styles=samples.STYLES,
        scripts=(*SCRIPTS, *samples.SCRIPTS),
        runs=runs,
        methods=[group.name for part in parts for group in seed_groups(part.runs)],
        notices=notices,
        parts=[(part, _tables(part)) for part in parts],
        **samples.samples_section(runs, samples_mb, origins),
        differences=config_differences(runs),
        provenance=[(run, _facts(run)) for run in runs],
    )
    write_text_atomic(output, page)
    if export_to is not None:
        export(named_charts(parts), _exported_tables(parts), export_to)
    return notices


def named_charts(parts: Sequence[Part]) -> list[tuple[str, Chart]]:
    """(name of its files, chart) of everything drawn on the page."""
    return [(_of(part, parts, chart.title), chart) for part in parts for chart in part.charts]


def _exported_tables(parts: Sequence[Part]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The tables as rows of plain values."""
    tables = []
    for part in parts:
        tables.append((_of(part, parts, "numbers"), table_rows(part.runs)))
        tables.append((_of(part, parts, "over seeds"), over_seeds(part.runs)))
        said = [
            {"method": name, "verdict": one.word, "sentence": one.sentence} for name, of in part.verdicts for one in of
        ]
        tables.append((_of(part, parts, "verdicts"), said))
    return tables


def _of(part: Part, parts: Sequence[Part], name: str) -> str:
    return f"{part.task} {name}" if len(parts) > 1 else name


def parts_of(runs: Sequence[Run], baseline: str | None = None) -> list[Part]:
    """The runs of each task, compared within it. Raises `ConfigError` for a baseline that no task has."""
    tasks = by_task(runs)
    return [
        _part(task, members, of_task)
        for (task, members), of_task in zip(tasks, _baselines(tasks, baseline), strict=True)
    ]


def _part(task: str, runs: list[Run], baseline: str | None) -> Part:
    methods = methods_of(runs)
    return Part(
        task=task,
        runs=runs,
        verdicts=model_verdicts(runs, baseline),
        warnings=warnings_of(runs, compared(runs, baseline)),
        trade_offs=trade_offs(methods),
        sample_charts=sample_charts(methods),
        curves=training_curves(runs, methods),
        redteam_charts=redteam_curves(runs),
    )


def _baselines(tasks: Sequence[tuple[str, Sequence[Run]]], baseline: str | None) -> list[str | None]:
    """The baseline in each task: the one asked for where it has that, otherwise its own."""
    if baseline is None:
        return [None] * len(tasks)
    chosen: list[str | None] = []
    unknown = None
    for _, runs in tasks:
        try:
            chosen_baseline(runs, baseline)
            chosen.append(baseline)
        except ConfigError as error:
            unknown = error
            chosen.append(None)
    if unknown is not None and not any(chosen):
        raise unknown
    return chosen


def _tables(part: Part) -> dict[str, Any]:
    """What the tables of a part show."""
    rows = table_rows(part.runs)
    models = [run for run in part.runs if run.kind == "model"]
    return {
        "rows": rows,
        "seeds": over_seeds(part.runs),
        "evaluated": [(run.name, names) for run in models if (names := evaluated_in(run))],
        "has_tag_gain": any(row["tag_gain"][0] is not None for row in rows),
        "others": other_scorers(part.runs),
        "redteam": redteam_rows(part.runs),
        "measures": [
            (models[start : start + MODELS_ACROSS], rows_of_models)
            for start in range(0, len(models), MODELS_ACROSS)
            if (rows_of_models := measures(models[start : start + MODELS_ACROSS]))
        ],
    }


def _facts(run: Run) -> list[tuple[str, str]]:
    """Provenance as rows of a table."""
    return [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in run.provenance.items()
        if value is not None
    ]
