"""`phf score`: the score of one text, segment by segment."""

import os
import shlex
import sys
from typing import Annotated

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import scorer_section
from phf.cli.terminal import quiet, results, say, say_next
from phf.errors import ConfigError


def score(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input, in UTF-8.")],
    scorer: Annotated[
        str,
        typer.Option(
            help="Scorer (phf list scorers), or {class_name: ..., key: value}.", autocompletion=completion.scorers
        ),
    ],
    segment: Annotated[
        str | None, typer.Option(help="lines, sentences (or sentences:zh, ...) or document; default: the scorer's own.")
    ] = None,
) -> None:
    """See the score of a text, segment by segment, and what the scorer found in it."""
    quiet()
    from phf.corpus.segmenting.segment import segmenter
    from phf.scorers import build_scorer
    from phf.scorers.explain import explain
    from phf.scorers.show import show_explanation

    if segment is not None:
        segmenter(segment)
    if os.path.isfile(text):  # Path.is_file raises an error for a text too long for a name
        quoted = shlex.quote(text)
        say(
            f"{quoted} is a file here, and this is the score of its name; for that of its text: phf score - --scorer ... "
            f"< {quoted}",
            "yellow",
        )
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"Standard input is not UTF-8: {error}.") from error
    explanation = explain(build_scorer(scorer_section(scorer), "--scorer"), text, segment)
    show_explanation(explanation, results)
    cut = "" if segment is None else f" --segment {shlex.quote(segment)}"
    annotate = f"phf annotate CORPUS --scorer {shlex.quote(scorer)}{cut} --output FOLDER"
    say_next(None, (annotate, "a whole corpus"))
    answer(explanation.as_dict())
