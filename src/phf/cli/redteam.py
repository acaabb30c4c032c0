"""`phf redteam`: search for prompts that a model continues badly, or replay those of an earlier search."""

from pathlib import Path
from typing import Annotated

import typer

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
from phf.cli.terminal import console, quiet, say
from phf.errors import ConfigError


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
        Path | None, typer.Option(help="Folder for the results; default: runs/redteam-<name> or runs/replay-<name>.")
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
    from phf.cli.progress import heartbeat, redteam_progress
    from phf.models.model_folder import find_model, model_name

    model_dir = find_model(model_dir)
    resolved = load_for_models([model_dir], task, config, [*(override or []), *(more or []), *preferring(prefer)])
    output = output or Path("runs") / f"{'redteam' if replay is None else 'replay'}-{model_name(model_dir)}"
    if replay is None:
        from phf.redteam.folder import redteam_folder
        from phf.redteam.show import show_search

        if fail_above is not None:
            raise ConfigError("--fail-above compares with a saved pool: give one with --replay.")
        with redteam_progress(console, resolved) as show_round, heartbeat(console):
            show_search(redteam_folder(model_dir, resolved, output, show_round), console)
        say(f"Pool, samples and numbers are in {output}")
        return
    from phf.redteam.replay import is_worse, replay_folder
    from phf.redteam.show import show_replay

    with console.status("Replaying...") as status, heartbeat(console):
        replayed = replay_folder(
            model_dir,
            resolved,
            replay,
            output,
            lambda done, total: status.update(f"Replayed {done:,} of {total:,} prompts"),
        )
    for note in replayed["notes"]:
        say(note, "yellow")
    show_replay(replayed, console)
    say(f"Continuations and numbers are in {output}")
    if fail_above is not None and is_worse(replayed, fail_above):
        say(f"Worse than before by more than {fail_above:g}.", "bold red")
        raise typer.Exit(1)
