"""Processes of commands that make several runs at the same time: how many, where, and what is put before each."""

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from phf.errors import ConfigError

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
    """The words of --launcher. Raises `ConfigError` for one that a shell would not accept."""
    try:
        return shlex.split(launcher or "")
    except ValueError as error:
        raise ConfigError(f"--launcher {launcher}: {error}.") from None


def places_for(words: Sequence[str], processes: int | None) -> "Callable[[Sequence[StudyRun]], list[dict[str, str]]]":
    """A function from the unfinished runs to the environment of each that may be in progress at the same time."""

    def places(runs: "Sequence[StudyRun]") -> list[dict[str, str]]:
        if words:
            return [{}] * (processes or 1)
        from phf.study.places import places_here

        return places_here(runs, processes)

    return places
