"""`phf label`: people judge segments of a dataset, on a page or in the terminal."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from phf.cli.for_scripts import answer
from phf.cli.terminal import console, quiet, say, say_next, say_result
from phf.errors import ConfigError, MissingExtraError
from phf.text import counted

if TYPE_CHECKING:
    from phf.labels.journal import Journal


def label(
    dataset: Annotated[str, typer.Argument(help="Annotated dataset, or any corpus.")],
    annotator: Annotated[
        str | None, typer.Option(help="Who judges; a name or a number, written with each label.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of labels, to which answers are appended.")
    ] = Path("labels.jsonl"),
    kind: Annotated[
        Literal["ratings", "pairs"], typer.Option(help="Rate one segment, or choose the better of two.")
    ] = "ratings",
    choose: Annotated[
        Literal["random", "quantiles", "disagreement"],
        typer.Option(
            help="Which segments: any, equally many from all ranges of the score, or those two scorers rank differently."
        ),
    ] = "random",
    count: Annotated[int, typer.Option(min=1, help="Number of questions.")] = 100,
    scale: Annotated[str, typer.Option(help="Lowest (not bad) and highest (very bad) rating.")] = "1-5",
    scores_column: Annotated[str, typer.Option(help="Column of scores to choose by.")] = "scores",
    other_column: Annotated[
        str | None, typer.Option(help="Second column of scores, for --choose disagreement: pii_scores, ...")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help="How a raw corpus is cut: lines, sentences or document; default: sentences.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice: the same for all annotators of a file.")] = 0,
    terminal: Annotated[bool, typer.Option("--terminal", help="Ask in the terminal instead of on a page.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0: any free one.")] = 0,
    report: Annotated[bool, typer.Option("--report", help="Only show how much the annotators agree.")] = False,
) -> None:
    """Let people judge segments of a dataset."""
    quiet()
    from phf.cli.working import working
    from phf.labels.ask import prepare_session
    from phf.labels.journal import Journal
    from phf.labels.scale import Scale
    from phf.labels.server import serving
    from phf.labels.terminal import ask_in_terminal

    journal = Journal(output)
    if report:
        _warn_of_alike(journal)
        agreements = _show_agreement(journal)
        say_next(None, _next(output))
        answer({"output": output, "agreement": agreements})
        return
    if annotator is None or not annotator.strip():
        raise ConfigError("--annotator is missing: labels of different people are compared, so each needs a name.")
    if terminal and None in (sys.stdin, sys.stdout, sys.stderr):
        raise ConfigError(
            "--terminal needs standard input, output and error, of which one is closed. Keep them open, or leave it out."
        )
    annotator = annotator.strip()  # " ann" and "ann" are one person
    columns = _columns(choose, scores_column, other_column)
    parsed = Scale.parse(scale)
    with working(console, "Choosing segments"):
        session = prepare_session(journal, dataset, annotator, kind, choose, columns, count, parsed, segment, seed)
    questions = counted(len(session.questions), "question")
    say(f"{questions}, {session.num_done:,} answered by {annotator}. Labels are in {output}")
    _warn_of_alike(journal, annotator)
    try:
        if session.current is None:
            pass
        elif terminal:
            ask_in_terminal(session, console, input)
        else:
            with serving(session, port) as server:
                say(f"Open {server.url}")
                say("Ctrl-C ends it; every answer is saved at once.")
                while not server.finished.wait(0.2):
                    pass
            if server.failure is not None:
                raise server.failure
    finally:
        say(f"{session.num_done:,} of {counted(len(session.questions), 'question')} answered.")
        agreements = _show_agreement(journal)
    say_next(f"Labels are in {output}", _next(output))
    num_questions = len(session.questions)
    answer(
        {"output": output, "num_questions": num_questions, "num_answered": session.num_done, "agreement": agreements}
    )


def _next(output: Path) -> tuple[str, str]:
    return f"phf reward {shlex.quote(str(output))} --base MODEL", "a reward model of them"


def _columns(choose: str, scores_column: str, other_column: str | None) -> tuple[str, ...]:
    if choose == "disagreement":
        if other_column is None or other_column == scores_column:
            raise ConfigError(
                "--choose disagreement compares two columns of scores: give the second one as --other-column."
            )
        return (scores_column, other_column)
    if other_column is not None:
        raise ConfigError("--other-column has an effect only with --choose disagreement. Leave it out.")
    return (scores_column,) if choose == "quantiles" else ()


def _warn_of_alike(journal: "Journal", *annotators: str) -> None:
    """Of names in the file, and of who is to be asked, that may be one person."""
    from phf.labels.agreement import alike

    known = [name for entry in journal.entries() if isinstance(name := entry.values.get("annotator"), str)]
    for one, other in alike([*known, *annotators]):
        say(
            f"{one!r} and {other!r} count as two annotators, but differ only in case or spaces. If they are one person, write "
            "the name as in the file.",
            "yellow",
        )


def _show_agreement(journal: "Journal") -> list[dict[str, Any]]:
    """Show it; returns it as plain values."""
    from phf.labels.agreement import agreement

    try:
        agreements = agreement(journal.entries())
    except MissingExtraError as error:
        say(str(error), "yellow")
        return []
    if not agreements:
        say_result("There are no labels yet.")
    for of_kind in agreements:
        annotators = counted(len(of_kind.annotators), "annotator")
        questions = counted(of_kind.num_common, "question")
        who = f"{of_kind.kind}: {annotators}, {questions} in common"
        if of_kind.alpha is None:
            say_result(f"{who}; Krippendorff's alpha is not defined: {of_kind.reason}.")
        else:
            say_result(f"{who}; Krippendorff's alpha {of_kind.alpha:.3f} (1: perfect, 0: as by chance)")
    return [of_kind._asdict() for of_kind in agreements]
