"""`phf report`: runs on one page."""

from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import answer
from phf.cli.options import Export, say_exported
from phf.cli.terminal import console, say, say_next


def report(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(help="Folders of phf train, evaluate, redteam, audit or quickstart; others are skipped."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page.")] = Path("report.html"),
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
    export: Export = None,
) -> None:
    """Put runs on one page."""
    from phf.cli.working import working
    from phf.report.page import write_report

    with working(console, "Reading runs"):
        notices = write_report(run_dirs, output, baseline, samples_mb, export)
    for notice in notices:
        say(notice, "yellow")
    say_exported(export)
    say_next(f"Report: {output}", ("phf evaluate RUNS", "more samples and parts, to put on it"))
    answer({"output": output, "export": export})
