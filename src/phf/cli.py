"""The verbs, in pipeline order. Parses and calls; what a verb does is in the folder of its name."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from phf.errors import PhfError

if TYPE_CHECKING:
    from phf.config import Config

console = Console(highlight=False)
app = typer.Typer(
    name="phf",
    help="Pretraining language models with human feedback: score a corpus, train on the scores, show the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Task = Annotated[str | None, typer.Option(help="Shipped task (pep8 is pep8/pretrain) or a YAML file.")]
Method = Annotated[str | None, typer.Option(help="Shipped method (mle, conditional, ...) or a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--override", help="section.key=value; repeat it or list several.")
]
MoreOverrides = Annotated[list[str] | None, typer.Argument(hidden=True)]


@app.command()
def annotate(
    sources: Annotated[list[str], typer.Argument(help="Corpora: files, folders, globs, Hub names, python-stdlib.")],
    scorer: Annotated[str, typer.Option(help="Scorer; see phf list scorers.")],
    output: Annotated[Path, typer.Option(help="Folder for the annotated dataset.")],
    segment: Annotated[
        str | None, typer.Option(help="lines, sentences or document; default: the scorer's own.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Score every segment of a corpus."""
    from phf.annotate.runner import annotate as run

    with console.status("Scoring...") as status:
        manifest = run(
            sources,
            {"class_name": scorer},
            segment,
            output,
            workers,
            lambda documents, chars: status.update(
                f"Scored {documents:,} documents, {chars / 1e6:,.1f} million characters"
            ),
        )
    unscored = ", ".join(f"{reason}: {count:,}" for reason, count in manifest.unscored_reasons.items()) or "none"
    console.print(
        f"{manifest.num_documents:,} documents, {manifest.num_segments:,} segments, unscored {manifest.num_unscored:,} "
        f"({escape(unscored)}) in {escape(str(output))}"
    )


@app.command()
def train(
    more: MoreOverrides = None,
    task: Task = None,
    method: Method = None,
    config: Annotated[Path | None, typer.Option(help="A resolved configuration, instead of task and method.")] = None,
    override: Overrides = None,
    run_name: Annotated[str | None, typer.Option(help="Name of the run folder; default: task-method.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last complete checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, print the plan, and stop.")] = False,
) -> None:
    """Train a model with a method on a task."""
    resolved = _load(task, method, config, [*(override or []), *(more or [])])
    name = run_name or "-".join(part.replace("/", "-") for part in (resolved.task, resolved.method) if part) or "run"
    _quiet()
    from phf.config import dump_config
    from phf.training.run import plan_run

    plan = plan_run(resolved, output_dir / name)
    for warning in plan.warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    if dry_run:
        console.print(escape(dump_config(resolved)))
        _print_arithmetic(plan.arithmetic)
        return
    _train(name, resolved, output_dir / name, resume)
    console.print(f"Model, metrics and samples are in {escape(str(output_dir / name))}")


@app.command()
def evaluate(
    model_dir: Annotated[Path, typer.Argument(help="Folder of a Hugging Face causal LM, e.g. runs/<name>/model.")],
    task: Task = None,
    more: MoreOverrides = None,
    override: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the results; default: runs/evaluate-<name>.")] = None,
) -> None:
    """Generate from a model and score the samples."""
    resolved = _load(task, None, None, [*(override or []), *(more or [])])
    _quiet()
    from phf.evaluation.folder import evaluate_folder

    name = model_dir.resolve().parent.name if model_dir.name == "model" else model_dir.resolve().name
    output = output or Path("runs") / f"evaluate-{name}"
    with console.status("Sampling and scoring..."):
        numbers = evaluate_folder(model_dir, resolved, output)
    table = Table("metric", "value")
    for key, value in numbers.items():
        table.add_row(escape(key), f"{value:.4g}")
    console.print(table)
    console.print(f"Samples and numbers are in {escape(str(output))}")


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(help="Run folders to compare.")],
    output: Annotated[Path, typer.Option(help="The HTML page.")] = Path("report.html"),
) -> None:
    """Put runs on one page."""
    from phf.report.page import write_report

    write_report(run_dirs, output)
    console.print(f"Report: {escape(str(output))}")


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="scorers, objectives, metrics, tasks or methods.")]) -> None:
    """List what can be named."""
    from phf.config import shipped_files
    from phf.errors import ConfigError
    from phf.registry import METRICS, OBJECTIVES, SCORERS, did_you_mean

    registries = {"scorers": SCORERS, "objectives": OBJECTIVES, "metrics": METRICS}
    table = Table(show_header=False, box=None)
    if what in registries:
        for name, summary in registries[what].describe().items():
            table.add_row(f"[bold]{escape(name)}[/]", escape(summary))
    elif what in ("tasks", "methods"):
        for name in shipped_files()[what]:
            table.add_row(f"[bold]{escape(name)}[/]")
    else:
        raise ConfigError(f"There is no list of '{what}'. {did_you_mean(what, [*registries, 'tasks', 'methods'])}")
    console.print(table)


@app.command()
def quickstart(
    output_dir: Annotated[Path, typer.Option(help="Where its runs and report go.")] = Path("runs/quickstart"),
    minutes: Annotated[
        float | None, typer.Option(min=0.5, help="Time to take; default: a fixed number of tokens.")
    ] = None,
) -> None:
    """See the whole idea work on the Python standard library."""
    _quiet()
    from phf.quickstart import conclusions, run_quickstart

    rows = run_quickstart(
        output_dir, minutes, lambda name, config, run_dir: _train(name, config, run_dir, True), _announce
    )
    table = Table("model, prefix", "misalignment score (95% interval)", "held-out bits/byte", "samples/s", "samples")
    for row in rows:
        table.add_row(
            escape(row["name"]),
            f"{row['score']:.4f} ({row['low']:.4f} to {row['high']:.4f})",
            f"{row['bits_per_byte']:.3f}",
            f"{row['samples_per_second']:.1f}",
            f"{row['num_samples']:.0f}",
        )
    console.print(table)
    for holds, sentence in conclusions(rows):
        console.print(f"[{'green' if holds else 'bold red'}]{escape(sentence)}[/]")
    console.print("One seed each; intervals are over samples. Lower is better in both columns.")
    console.print(f"Report: {escape(str(output_dir / 'report.html'))}")


def _load(task: str | None, method: str | None, config: Path | None, overrides: list[str]) -> "Config":
    from phf.config import load_config

    resolved, warnings = load_config(task=task, method=method, config=config, overrides=overrides)
    for warning in warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    return resolved


def _train(name: str, config: "Config", run_dir: Path, resume: bool) -> dict[str, float]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from phf.training.run import train as run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(escape(name), total=None)

        def show(step: int, max_steps: int, numbers: dict[str, float]) -> None:
            loss, rate = numbers.get("lm_loss"), numbers.get("tokens_per_second")
            text = escape(name) + (f"  loss {loss:.3f}" if loss is not None else "")
            text += f"  {rate:,.0f} tokens/s" if rate is not None else ""
            progress.update(bar, completed=step, total=max_steps, description=text)

        return run(config, run_dir, resume=resume, announce=_announce, show=show)


def _announce(message: str) -> None:
    console.print(escape(message))


def _print_arithmetic(arithmetic: Any) -> None:
    console.print(
        f"{arithmetic.max_steps:,} steps x {arithmetic.effective_batch_size:,} blocks x {arithmetic.seq_length:,} tokens = "
        f"{arithmetic.max_steps * arithmetic.tokens_per_step:,} tokens; "
        f"{arithmetic.per_device_train_batch_size} blocks a device x {arithmetic.gradient_accumulation_steps} accumulation "
        f"x {arithmetic.world_size} processes; {arithmetic.tokens_already_seen:,} tokens seen before"
    )


def _quiet() -> None:
    """Libraries speak when something is wrong, not to say that they are there."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def main() -> None:
    """Entry point: a user's mistake ends in one message and exit status 2, an interruption in 130."""
    try:
        app()
    except PhfError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]Error[/] {escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Interrupted. Finished shards and checkpoints are kept; run again to go on (train: --resume)."
        )
        sys.exit(130)
