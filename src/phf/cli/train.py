"""`phf train`: train a model with a method on a task."""

import os
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phf.cli.for_scripts import answer
from phf.cli.options import Method, MoreOverrides, Overrides, Task, load
from phf.cli.terminal import console, messages_aside, numbers_table, quiet, results, say, say_next, say_result
from phf.errors import ConfigError
from phf.text import counted

if TYPE_CHECKING:
    from phf.cli.progress import TrainingProgress
    from phf.config import Config


def train(
    more: MoreOverrides = None,
    task: Task = None,
    method: Method = None,
    size: Annotated[str | None, typer.Option(help="tiny, small or gpt2, for a task that has sizes.")] = None,
    config: Annotated[Path | None, typer.Option(help="A resolved configuration, instead of task and method.")] = None,
    override: Overrides = None,
    run_name: Annotated[
        str | None, typer.Option(help="Name of the run folder; default: task-method, with its size.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last complete checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, print the plan, and stop.")] = False,
) -> None:
    """Train a model with a method on a task."""
    if dry_run:
        messages_aside()
    resolved = load(task, method, config, [*(override or []), *(more or [])], size=size)
    name = run_name or _run_name(resolved)
    quiet()
    from phf.config import dump_config
    from phf.training.data import percentile_notes
    from phf.training.plan import plan_run
    from phf.training.start import refuse_unknown

    if resume:
        refuse_unknown(output_dir / name)
    planned, missing = resolved, list[str]()
    if dry_run:
        from phf.training.settings.outlook import outlook
        from phf.training.settings.reach import within_reach

        planned, missing = within_reach(resolved)
    plan = plan_run(planned, output_dir / name)
    is_main = plan.arguments.process_index == 0
    for warning in [*plan.warnings, *missing] if is_main else ():
        say(warning, "yellow")
    if dry_run and not is_main:
        return
    if dry_run:
        expected = outlook(plan)
        say_result(dump_config(resolved).rstrip())  # valid as a file, if standard output is one
        for note in percentile_notes(resolved):
            say(note)
        _show_arithmetic(plan.arithmetic)
        for line in plan.choices.lines(plan.arithmetic.world_size):
            say(line)
        for note in expected.notes:
            say(note)
        for warning in expected.warnings:
            say(warning, "yellow")
        say_next(None, ("the same command without --dry-run", "the training"))
        arithmetic = plan.arithmetic
        num_tokens = arithmetic.max_steps * arithmetic.tokens_per_step
        plain = resolved.model_dump(mode="json")
        answer(
            {"output": output_dir / name, "config": plain, "max_steps": arithmetic.max_steps, "num_tokens": num_tokens}
        )
        return
    numbers = _train(name, resolved, output_dir / name, resume)
    if is_main:
        _show_result(numbers, output_dir / name)


def _run_name(config: "Config") -> str:
    """task-method, or task-size-method. Raises `ConfigError` where these, from whatever file, are not the name of a folder."""
    from phf.config import run_labels

    # each run of a sweep has the id that its agent gives it, and needs a folder of its own
    of_sweep = os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")
    name = "-".join([*(run_labels(config) or ["run"]), *([of_sweep] if of_sweep else [])])
    if name in (".", "..") or not name.isprintable():
        raise ConfigError(
            f"The run would be called {name!r}, after `task` and `method`. Choose a name with --run-name."
        )
    return name


def _train(name: str, config: "Config", run_dir: Path, resume: bool) -> dict[str, float]:
    from phf.cli.progress import training_progress
    from phf.training.run import train as run

    with training_progress(console) as progress, _details(name, progress):
        return run(
            config,
            run_dir,
            resume=resume,
            announce=say,
            show=lambda *numbers: progress.show(name, *numbers),
            progress=lambda what: progress.doing(name, what),
        )


def _details(name: str, progress: "TrainingProgress") -> AbstractContextManager[None]:
    """On a terminal, the progress of sampling and the like; the lines of a log already show it."""
    from phf.cli.progress import heartbeat, shows_bars

    return heartbeat(console, lambda text: progress.doing(name, text)) if shows_bars(console) else nullcontext()


def _show_result(numbers: dict[str, float], run_dir: Path) -> None:
    """The numbers of a run's last evaluation, its location, and what to do next."""
    from phf.runs.layout import MODEL

    if numbers:
        kept = {key: value for key, value in numbers.items() if not key.endswith("_per_second")}
        results.print(numbers_table({"last value": kept}, results.width))
    run = shlex.quote(str(run_dir))
    say_next(
        f"Model, metrics and samples are in {run_dir}",
        (f"phf evaluate {run}", "more samples and parts"),
        (f"phf report {run}", "a page of its curves and samples"),
    )
    answer({"output": run_dir, "model": run_dir / MODEL, "numbers": numbers})


def _show_arithmetic(arithmetic: Any) -> None:
    processes = counted(arithmetic.world_size, "process", "processes")
    divided = (
        f"{counted(arithmetic.per_device_train_batch_size, 'block')} per device x "
        f"{arithmetic.gradient_accumulation_steps} accumulation x {processes}"
    )
    if arithmetic.finds_micro_batch:
        divided = f"as many blocks per device as fit x {processes}"
    say(
        f"{counted(arithmetic.max_steps, 'step')} x {counted(arithmetic.effective_batch_size, 'block')} x "
        f"{arithmetic.seq_length:,} tokens = {arithmetic.max_steps * arithmetic.tokens_per_step:,} tokens; "
        f"{divided}; {arithmetic.tokens_already_seen:,} tokens seen before"
    )
