"""`phf evaluate`: measure models and compare them."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import answer
from phf.cli.options import Overrides, OwnTask, Prefer, ResolvedTask, load_for_models, preferring
from phf.cli.terminal import console, numbers_table, quiet, results, say, say_next, say_result
from phf.errors import ConfigError


def evaluate(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, or folders of Hugging Face causal LMs, e.g. runs/<name>/model.")
    ],
    task: OwnTask = None,
    config: ResolvedTask = None,
    override: Overrides = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure only this: generation, diversity, held-out, kl, downstream, glue. Repeat it for more."
        ),
    ] = None,
    prefer: Prefer = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this out; repeat it for more.")] = None,
    glue: Annotated[bool, typer.Option("--glue", help="Also finetune on GLUE.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results; default: runs/evaluate-<name>, or runs/evaluate for several.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Model or method that the others are compared with; default: MLE, or the first."),
    ] = None,
) -> None:
    """Measure how aligned and how capable models are, and compare them."""
    folders = [Path(text) for text in models if "=" not in text or Path(text).is_dir()]
    if not folders:
        raise ConfigError(f"{' '.join(models)}: is not a model folder. Put one or more before --override.")
    overrides = [*(override or []), *(text for text in models if Path(text) not in folders)]
    quiet()
    from phf.cli.working import working
    from phf.evaluation.run import chosen_parts, evaluate_folders
    from phf.models.model_folder import find_model, model_name, processes
    from phf.runs.layout import run_of_model

    folders = [find_model(folder) for folder in folders]
    resolved = load_for_models(folders, task, config, [*overrides, *preferring(prefer)])
    parts = chosen_parts(only or (), skip or (), glue, resolved)
    if output is None:
        output = Path("runs") / (f"evaluate-{model_name(folders[0])}" if len(folders) == 1 else "evaluate")
    is_main = processes().is_main_process

    def announce(message: str) -> None:
        if is_main:
            say(message)

    with working(console, "Measuring") if is_main else nullcontext():
        evaluation = evaluate_folders(folders, resolved, output, parts, announce, baseline)
    if not is_main:
        return
    results.print(numbers_table(evaluation.numbers, results.width))
    for comparison in evaluation.comparisons:
        say_result(comparison.describe())
    trained = [run for folder in folders if (run := run_of_model(folder)) is not None]
    on_page = " ".join(shlex.quote(str(path)) for path in [*trained, output])
    what = "a page of them and of the training" if trained else "a page of them"
    say_next(f"Samples and numbers are in {output}", (f"phf report {on_page}", what))
    comparisons = [comparison.to_json() for comparison in evaluation.comparisons]
    answer({"output": output, "models": evaluation.numbers, "comparisons": comparisons})
