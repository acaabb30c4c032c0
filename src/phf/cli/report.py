"""`phf report`: runs on one page."""

from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import answer
from phf.cli.terminal import console, say, say_next


def report(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Folders of phf train, evaluate, redteam or quickstart; others are skipped.")
    ],
    output: Annotated[Path, typer.Option(help="The HTML page.")] = Path("report.html"),
    baseline: Annotated[
        str | None, typer.Option(help="Method or run that the others are compared with; default: MLE, or the first.")
    ] = None,
    samples_mb: Annotated[
        float | None,
        typer.Option(
            help="Megabytes of compressed samples in the page; of more, a part is in it. Default: what keeps it below 6 MB.",
            min=0,
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for each figure as CSV, SVG and PNG, and each table as CSV.")
    ] = None,
) -> None:
    """Put runs on one page."""
    from phf.cli.working import working
    from phf.report.page import write_report

    with working(console, "Reading runs"):
        notices = write_report(run_dirs, output, baseline, samples_mb, export)
    for notice in notices:
        say(notice, "yellow")
    if export is not None:
        say(f"Figures and tables: {export}")
    say_next(f"Report: {output}", ("phf evaluate RUNS", "more samples and parts, to put on it"))
    answer({"output": output, "export": export})
