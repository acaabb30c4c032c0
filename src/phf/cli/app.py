"""`phf`: the commands, in pipeline order. What a command does is in the folder of its name."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from phf.cli.annotate import annotate
from phf.cli.audit import audit
from phf.cli.cache import cache
from phf.cli.evaluate import evaluate
from phf.cli.export import export
from phf.cli.for_scripts import for_scripts
from phf.cli.group import Commands, show_interruption
from phf.cli.label import label
from phf.cli.listing import list_
from phf.cli.playground import playground
from phf.cli.profile import profile
from phf.cli.quickstart import quickstart
from phf.cli.redteam import redteam
from phf.cli.refresh import refresh
from phf.cli.report import report
from phf.cli.reward import reward
from phf.cli.score import score
from phf.cli.study import study
from phf.cli.tamper import tamper
from phf.cli.terminal import plain_warnings, say, show_any_character
from phf.cli.train import train
from phf.workers.interruption import ending_on_signals, exit_status
from phf.workers.launcher import ending_with_launcher

app = typer.Typer(
    cls=Commands,
    name="phf",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        import phf

        say(f"phf {phf.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version, and stop.")
    ] = False,
) -> None:
    """Pretraining language models with human feedback: score a corpus, train on the scores, show the evidence."""


for command in (
    label,
    reward,
    annotate,
    score,
    profile,
    train,
    refresh,
    export,
    evaluate,
    playground,
    redteam,
    tamper,
    audit,
    report,
    study,
):
    app.command()(for_scripts(command))
app.command("list")(for_scripts(list_))
app.command()(for_scripts(quickstart))
app.add_typer(cache, name="cache")


def main(before_it: Callable[[int, Any], None] | None = None) -> None:
    """Run the command of the command line. `before_it`: handler of signals that the caller has set."""
    try:
        show_any_character()
        with ending_on_signals(before_it), ending_with_launcher(), plain_warnings():
            app()
    except KeyboardInterrupt as error:  # in the moments before and after the command
        show_interruption(error, "")
        raise SystemExit(exit_status(error)) from None
