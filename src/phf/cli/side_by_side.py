"""Processes of commands that make several runs at the same time: how many, where, and what is put before each."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phf.cli.for_scripts import MISSING_RUNS, answer
from phf.cli.terminal import say, say_next
from phf.errors import ConfigError
from phf.storage.secrets import refuse_secrets_of_command

if TYPE_CHECKING:
    from phf.study.plan import StudyRun

Processes = Annotated[
    int | None, typer.Option(min=1, help="Runs at the same time; default: one per GPU, or per CPU without GPUs.")
]
Launcher = Annotated[
    str | None,
    typer.Option(help='Put before each "phf train ...", such as "srun --gpus 1"; then --processes is 1 by default.'),
]


def words_of(launcher: str | None) -> list[str]:
    """The words of --launcher. Raises `ConfigError` for one that a shell would not accept, or that holds a secret."""
    refuse_secrets_of_command((launcher or "").split(), "--launcher")  # before an error shows it
    try:
        words = shlex.split(launcher or "")
    except ValueError as error:
        raise ConfigError(f"--launcher {launcher}: {error}.") from None
    refuse_secrets_of_command(words, "--launcher")
    return words


def places_for(words: Sequence[str], processes: int | None) -> "Callable[[Sequence[StudyRun]], list[dict[str, str]]]":
    """A function from the unfinished runs to the environment of each that may be in progress at the same time."""

    def places(runs: "Sequence[StudyRun]") -> list[dict[str, str]]:
        if words:
            return [{}] * (processes or 1)
        from phf.study.places import places_here

        return places_here(runs, processes)

    return places


def end_with_answer(
    missing: Mapping[str, str],
    kind: str,
    page: Path,
    numbers: Path,
    following: tuple[str, str],
    record: Mapping[str, Any],
) -> None:
    """The last lines and the JSON answer; with `missing` (run -> reason), the status that says so.

    Args:
        kind: what is missing, in the plural.
        following: command and what it does, if nothing is missing.
        record: the answer, without the page.
    """
    for name, reason in missing.items():
        say(f"Missing: {name}: {reason}", "bold red")
    again = ("the same command again", f"the missing {kind}") if missing else None
    say_next(f"Page: {page}; numbers: {numbers}", again or following)
    status = MISSING_RUNS if missing else 0
    answer({"page": page, **record}, status)
    if status:
        raise typer.Exit(status)
