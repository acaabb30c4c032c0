"""`phf profile`: the scores of an annotated dataset, or what annotating a corpus will cost."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import Export, say_exported, score, scorer_section
from phf.cli.terminal import console, quiet, results, say, say_next
from phf.errors import ConfigError, MissingExtraError
from phf.text import counted

OF_ESTIMATES = ("scorer", "segment", "sample", "text_column")
OF_PROFILES = ("scores_column", "threshold", "percentile", "level", "by", "tokenizer", "export")


def profile(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Annotated dataset; with --estimate, a raw corpus.")],
    scores_column: Annotated[str, typer.Option(help="Column that holds the scores.")] = "scores",
    threshold: Annotated[float, typer.Option(callback=score, help="Show what is on each side of this score.")] = 0.0,
    percentile: Annotated[
        list[float] | None,
        typer.Option(min=0, max=100, help="Show the threshold of this percentile; repeat it for more."),
    ] = None,
    level: Annotated[str | None, typer.Option(help="Whose percentiles: document or segment; default: both.")] = None,
    by: Annotated[str | None, typer.Option(help="Key of meta to group by; default: the only one, or files.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer to count tokens with, instead of characters.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Predict what annotating a raw corpus costs.")] = False,
    scorer: Annotated[
        str | None,
        typer.Option(help="With --estimate: the scorer; see phf list scorers.", autocompletion=completion.scorers),
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help="With --estimate: lines, sentences or document; default: the scorer's own.")
    ] = None,
    sample: Annotated[int, typer.Option(min=2, help="With --estimate: documents to score.")] = 200,
    text_column: Annotated[str | None, typer.Option(help="With --estimate: column of the text.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the files, new or of an earlier profile; default: the dataset's own."
        ),
    ] = None,
    export: Export = None,
) -> None:
    """See the scores of an annotated dataset, or what annotating a corpus will cost."""
    for name in OF_PROFILES if estimate else OF_ESTIMATES:
        if ctx.get_parameter_source(name) is ctx.get_parameter_source("dataset"):  # which is on the command line
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} has no effect with --estimate. Leave it out."
                if estimate
                else f"{option} has an effect only with --estimate. Add that, or leave {option} out."
            )
    quiet()
    from phf.cli.working import working
    from phf.corpus.formats.row_policy import ReadOptions
    from phf.profile.estimate import estimate_corpus
    from phf.profile.files import claimed, write_estimate, write_profile
    from phf.profile.measure import LEVELS, profile_dataset
    from phf.profile.show import show_estimate, show_profile
    from phf.report.export import check_can_export
    from phf.report.profile_page import export_profile, write_profile_page

    if estimate:
        if scorer is None:
            raise ConfigError("--estimate needs --scorer; see phf list scorers.")
        with claimed(output):
            with working(console, "Scoring a sample"):
                prediction = estimate_corpus(dataset, scorer_section(scorer), segment, sample, ReadOptions(text_column))
            show_estimate(prediction, results)
            path = None if output is None else write_estimate(prediction, output)
        annotate = f"phf annotate {shlex.quote(dataset)} --scorer {shlex.quote(scorer)} --output FOLDER"
        say_next(None if path is None else f"Written to {path}", (annotate, "the whole corpus"))
        answer({"output": path, "estimate": prediction.to_json()})
        return
    if level not in (None, *LEVELS):
        raise ConfigError(f"--level {level}: it must be document or segment.")
    check_can_export("phf profile", export)
    with claimed(output, dataset):
        with working(console, "Reading") as show:
            profiled = profile_dataset(
                dataset,
                scores_column=scores_column,
                threshold=threshold,
                percentiles=percentile or (),
                levels=LEVELS if level is None else (level,),
                by=by,
                tokenizer=tokenizer,
                progress=lambda documents, chars: show(
                    f"Read {counted(documents, 'document')}, {chars / 1e6:,.1f} M characters"
                ),
            )
        show_profile(profiled, results)
        folder, note = write_profile(profiled, output)
        try:
            if folder is not None:
                write_profile_page(profiled, folder)
        except MissingExtraError as error:
            note = note or str(error)
        if note is not None:
            say(note, "yellow")
        if export is not None:
            export_profile(profiled, export)
    say_exported(export)
    override = shlex.quote(f"dataset.datasets=[{json.dumps(dataset, ensure_ascii=False)}]")
    say_next(
        "Nothing was written." if folder is None else f"Written to {folder}",
        (f"phf train --task TASK --method METHOD --override {override}", "a model trained on it"),
    )
    answer({"output": folder, "export": export, "profile": profiled.to_json()})
