"""`phf quickstart`: the whole idea on the Python standard library."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from phf.cli.for_scripts import answer
from phf.cli.options import finite
from phf.cli.terminal import console, quiet, results, say, say_next, say_result, shown

if TYPE_CHECKING:
    from phf.config import Config


def quickstart(
    output_dir: Annotated[Path, typer.Option(help="Folder for its runs and report.")] = Path("runs/quickstart"),
    minutes: Annotated[
        float | None, typer.Option(min=0.5, callback=finite, help="Time to take; default: a fixed number of tokens.")
    ] = None,
) -> None:
    """See the whole idea at work on the Python standard library."""
    quiet()
    from phf.quickstart.run import conclusions, run_quickstart
    from phf.report.html import format_number

    rows = run_quickstart(output_dir, minutes, _train_together, say)
    names = ("misalignment score\n(95% interval)", "held-out\nbits/byte", "samples/s", "samples")
    table = Table(Column("model, prefix", overflow="fold"), *(Column(name, no_wrap=True) for name in names))
    for row in rows:
        interval = f"{format_number(row['score'])}\n({format_number(row['low'])} to {format_number(row['high'])})"
        others = (format_number(row[key]) for key in ("bits_per_byte", "samples_per_second", "num_samples"))
        table.add_row(shown(row["name"]), interval, *others)
    results.print(table)
    concluded = conclusions(rows)
    for holds, sentence in concluded:
        say_result(sentence, "green" if holds else "bold red")
    say("One seed each; intervals are over samples. Lower is better in both columns.")
    page = output_dir / "report.html"
    say_next(
        f"Report: {page}",
        ("phf annotate CORPUS --scorer SCORER --output FOLDER", "the same with your own corpus"),
    )
    conclusion = [{"holds": holds, "sentence": sentence} for holds, sentence in concluded]
    answer({"output": output_dir, "page": page, "models": rows, "conclusions": conclusion})


def _train_together(jobs: "dict[str, tuple[Config, Path]]") -> None:
    from phf.cli.progress import training_progress
    from phf.training.together import train_together

    with training_progress(console) as progress:

        def on_event(name: str, message: dict[str, Any]) -> None:
            if "announce" in message:
                say(f"{name}: {message['announce']}")
            elif "doing" in message:
                progress.doing(name, message["doing"])
            else:
                progress.show(name, *message["show"])

        train_together(jobs, on_event)
