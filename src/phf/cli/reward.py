"""`phf reward`: a reward model from human labels, as a folder for ClassifierScorer; or how well scorers agree with labels."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import finite, scorer_section
from phf.cli.terminal import console, quiet, results, say, say_next
from phf.errors import ConfigError

if TYPE_CHECKING:
    from phf.labels.label import Labels
    from phf.reward.settings import RewardSettings

OF_TRAINING = ("base", "epochs", "learning_rate", "batch_size", "max_length", "eval_fraction", "curve", "seed")
"""Options without effect with --compare."""
AGREEMENT = "agreement.json"
"""What --compare writes."""


def reward(
    ctx: typer.Context,
    labels: Annotated[
        list[str],
        typer.Argument(
            help="Files of labels: those of phf label, or any records with chosen and rejected, or text and rating."
        ),
    ],
    base: Annotated[str | None, typer.Option(help="Base model: a run folder, a model folder or a Hub name.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the reward model, which must not exist; default: reward. With --compare: of its numbers.",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Train nothing: how well this scorer agrees with the labels; repeat it for more scorers.",
            autocompletion=completion.scorers,
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="Lowest and highest rating, such as 1-5, where lines have no scale of their own.")
    ] = None,
    higher_is: Annotated[
        Literal["worse", "better"] | None, typer.Option(help="What a high rating means, where lines do not say it.")
    ] = None,
    text: Annotated[
        Literal["conversation", "response"],
        typer.Option(help="What is scored of a pair: prompt and response, or only what the two do not share."),
    ] = "conversation",
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="Whether a row that is not a usable label ends it, or is left out.")
    ] = "stop",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the labels.")] = 3,
    learning_rate: Annotated[float, typer.Option(callback=finite, help="Highest learning rate.")] = 2e-5,
    batch_size: Annotated[int, typer.Option(min=1, help="Labels per step; lower it if memory runs out.")] = 16,
    max_length: Annotated[
        int | None, typer.Option(min=16, help="Tokens of a text, its last ones; default: 512, or all the base takes.")
    ] = None,
    eval_fraction: Annotated[float, typer.Option(callback=finite, help="Share of the labels that is held out.")] = 0.2,
    curve: Annotated[
        str,
        typer.Option(help="Learning curve: shares of the labels that further models are trained on; none: no curve."),
    ] = "0.25,0.5",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the division, the new head and the order.")
    ] = 0,
) -> None:
    """Train a reward model on human labels, for ClassifierScorer; or compare scorers with the labels."""
    if compare:
        for name in OF_TRAINING:
            if ctx.get_parameter_source(name) is ctx.get_parameter_source("labels"):  # which is on the command line
                raise ConfigError(f"--{name.replace('_', '-')} has no effect with --compare. Leave it out.")
    elif base is None:
        raise ConfigError(
            "--base is missing: the model to train. To compare scorers with the labels instead, use --compare."
        )
    quiet()
    from phf.cli.working import working
    from phf.labels.read import read_labels
    from phf.labels.scale import Scale
    from phf.reward.settings import RewardSettings, parse_shares
    from phf.storage.files import claimed_folder

    settings = RewardSettings(
        epochs, learning_rate, batch_size, max_length, eval_fraction, parse_shares(curve, "--curve"), seed
    )
    settings.check()
    known_scale = None if scale is None else Scale.parse(scale)
    with working(console, "Reading labels"):
        read = read_labels(
            labels,
            scale=known_scale,
            higher_is_worse=None if higher_is is None else higher_is == "worse",
            part=text,
            on_error=on_error,
        )
    if compare:
        with claimed_folder(output, [AGREEMENT], "phf reward --compare"):
            _compare(read, compare, output)
    else:
        assert base is not None
        _train(labels, read, Path(base), output or Path("reward"), settings)


def _train(sources: list[str], labels: "Labels", base: Path, output: Path, settings: "RewardSettings") -> None:
    from phf.cli.working import working
    from phf.models.model_folder import find_model
    from phf.reward.run import train_reward
    from phf.reward.show import show_reward, warnings_of

    with working(console, "Training") as show:
        record = train_reward(sources, labels, find_model(base), output, settings, show)
    show_reward(record, results)
    for warning in warnings_of(record):
        say(warning, "yellow")
    scorer = f"{{class_name: ClassifierScorer, path_or_name: {output}}}"
    say_next(
        f"The reward model is in {output}",
        (f"phf annotate CORPUS --scorer {shlex.quote(scorer)} --output FOLDER", "a corpus that it scores"),
    )
    answer({"output": output, "reward": record})


def _compare(labels: "Labels", scorers: list[str], output: Path | None) -> None:
    from phf.cli.working import working
    from phf.reward.compare import compare, judged_once
    from phf.reward.seen import unseen
    from phf.reward.show_agreement import agreement_json, show_agreements, warnings_of_agreement
    from phf.scorers import build_scorer
    from phf.storage.files import write_json_atomic

    sections = [scorer_section(scorer) for scorer in scorers]
    usable, notes = unseen(sections, labels)
    judged_once(usable)  # raises for labels that say nothing, before anything is scored
    built = [build_scorer(section, "--compare") for section in sections]
    with working(console, "Scoring the labelled texts"):
        agreements = compare(built, usable)
    show_agreements(agreements, usable, results)
    for warning in [*notes, *warnings_of_agreement(agreements)]:
        say(warning, "yellow")
    record = agreement_json(agreements, usable, notes)
    if output is not None:
        path = output / AGREEMENT
        write_json_atomic(path, record)
        say(f"Written to {path}")
    say_next(None, ("phf annotate CORPUS --scorer SCORER --output FOLDER", "a corpus that the best of them scores"))
    answer({"output": output, "agreement": record})
