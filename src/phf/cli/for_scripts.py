"""What scripts need of every command: `--quiet`, `--json` and the exit statuses."""

import contextlib
import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TextIO

import typer

from phf.cli.terminal import problems, speak
from phf.errors import ConfigError
from phf.workers.launcher import rank

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and messages: only the result, and problems.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output; all else goes to standard error.")
]
STATUSES = {
    0: "finished",
    1: "`phf redteam --replay --fail-above`: worse than before; or, with a traceback, a defect of `phf`",
    2: "a mistake in the command line, the configuration or the data; the message says what to do",
    3: "training diverged: a loss, a gradient or a weight is not finite",
    4: "`phf study`, `phf tamper`: finished, but some runs have no result",
    75: "the state of a run was saved because of SIGTERM, SIGUSR1 or SIGHUP: run again, or add `--resume`",
    129: "ended by SIGHUP; finished work is kept",
    130: "ended by Ctrl-C (SIGINT); finished work is kept",
    138: "ended by SIGUSR1; finished work is kept",
    141: "ended because the program that reads the output has ended, as `head` does; finished work is kept",
    143: "ended by SIGTERM; finished work is kept",
}
"""Exit status -> what it means."""
WORSE = 1
LARGEST = 2**32
"""Of a number that an option gives: seeds are below it; libraries, and lists of samples, hold no larger ones."""
MISSING_RUNS = 4

_answers: list[TextIO | None] = []
"""Where the JSON object goes, once it is asked for; None when it is written."""


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """The block of one command line, at the end of which output is as it was before."""
    _answers.clear()
    speak()
    before = sys.stdout
    try:
        yield
    finally:
        sys.stdout = before
        _answers.clear()


def open_answer() -> None:
    """Standard output is for one JSON object from now on."""
    if not _answers:
        _answers.append(sys.stdout)
        sys.stdout = sys.stderr  # what libraries print must not mix with the object


def is_open() -> bool:
    """Whether a JSON object is asked for, and not written yet."""
    return bool(_answers) and _answers[0] is not None


def for_scripts(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with `--quiet` and `--json`."""

    @functools.wraps(command)
    def run(*arguments: Any, quiet: bool, as_json: bool, **options: Any) -> None:
        speak(quiet=quiet, as_json=as_json)
        if as_json:
            open_answer()
        refuse_huge(options)
        command(*arguments, **options)

    signature = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("as_json", Json))
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "quiet": Quiet, "as_json": Json}
    return run


def refuse_huge(options: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for a whole number among the options of a command that no machine can count up to."""
    for name, value in options.items():
        if type(value) is int and abs(value) > LARGEST:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: it must be at most {LARGEST:,}.")


def answer(record: Mapping[str, Any], exit_status: int = 0) -> None:
    """The result of the command as JSON, for `--json`; nothing without it, or in a process that does not print.

    The object is ASCII, so it cannot contain control sequences for a terminal; numbers that are not finite are null.
    """
    stdout = _answers[0] if _answers else None
    if stdout is None or rank() != 0:
        return
    from phf.runs.writer import finite_or_none

    whole = {**record, "problems": list(problems), "exit_status": exit_status}
    _answers[0] = None
    stdout.write(json.dumps(finite_or_none(whole), indent=2, allow_nan=False, default=str) + "\n")
    stdout.flush()


def answer_error(message: str, exit_status: int, arguments: Sequence[str]) -> None:
    """The same for a command that failed, unless it has answered; `arguments` tell what it had no chance to ask for."""
    if "--json" in arguments:
        open_answer()
    answer({"error": message}, exit_status)
