"""`phf redteam`: search for prompts that a model continues badly, or replay those of an earlier search."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import WORSE, answer
from phf.cli.options import (
    MoreOverrides,
    Overrides,
    OwnTask,
    Prefer,
    ResolvedTask,
    finite,
    load_for_models,
    preferring,
)
from phf.cli.terminal import console, quiet, results, say, say_next
from phf.errors import ConfigError
from phf.text import counted


def redteam(
    model_dir: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a Hugging Face causal LM, e.g. runs/<name>/model.")
    ],
    task: OwnTask = None,
    config: ResolvedTask = None,
    more: MoreOverrides = None,
    override: Overrides = None,
    prefer: Prefer = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the results; default: runs/redteam-<name> or runs/replay-<name>."
        ),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Instead of searching, continue the prompts of this saved pool.jsonl.")
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            callback=finite, help="With --replay: exit with status 1 if scores rose significantly by more than this."
        ),
    ] = None,
) -> None:
    """Search for prompts that a model continues badly, or replay those of an earlier search."""
    quiet()
    from phf.cli.working import redteam_progress, working
    from phf.models.model_folder import find_model, model_name

    model_dir = find_model(model_dir)
    resolved = load_for_models([model_dir], task, config, [*(override or []), *(more or []), *preferring(prefer)])
    output = output or Path("runs") / f"{'redteam' if replay is None else 'replay'}-{model_name(model_dir)}"
    if replay is None:
        from phf.redteam.folder import redteam_folder
        from phf.redteam.show import show_search

        if fail_above is not None:
            raise ConfigError("--fail-above compares with a saved pool: give one with --replay.")
        with redteam_progress(console, resolved) as show_round:
            searched = redteam_folder(model_dir, resolved, output, show_round, say)
        show_search(searched, results)
        replay_it = f"phf redteam OTHER_MODEL --replay {shlex.quote(str(output / 'pool.jsonl'))}"
        page = f"phf report {shlex.quote(str(output))}"
        say_next(
            f"Pool, samples and numbers are in {output}",
            (page, "a page of the search"),
            (replay_it, "the same prompts against another model"),
        )
        answer({"output": output, "search": searched})
        return
    from phf.redteam.replay import is_worse, replay_folder
    from phf.redteam.show import show_replay

    with working(console, "Replaying") as show:
        replayed = replay_folder(
            model_dir,
            resolved,
            replay,
            output,
            lambda done, total: show(f"Replayed {done:,} of {counted(total, 'prompt')}"),
            say,
        )
    for note in replayed["notes"]:
        say(note, "yellow")
    show_replay(replayed, results)
    worse = fail_above is not None and is_worse(replayed, fail_above)
    if worse:
        say(f"Worse than before by more than {fail_above:g}.", "bold red")
    say_next(
        f"Continuations and numbers are in {output}",
        (f"phf redteam {shlex.quote(str(model_dir))}", "a search of its own"),
    )
    answer({"output": output, "replay": replayed, "is_worse": worse}, WORSE if worse else 0)
    if worse:
        raise typer.Exit(WORSE)
