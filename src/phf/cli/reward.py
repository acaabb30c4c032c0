"""`phf reward`: a reward model from human labels, as a folder for ClassifierScorer."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from phf.cli.options import finite
from phf.cli.terminal import console, quiet, say


def reward(
    labels: Annotated[
        list[str],
        typer.Argument(
            help="Files of labels: those of phf label, or any records with chosen and rejected, or text and rating."
        ),
    ],
    base: Annotated[str, typer.Option(help="Base model: a run folder, a model folder or a Hub name.")],
    output: Annotated[Path, typer.Option(help="Folder of the reward model; it must not exist.")] = Path("reward"),
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
    """Train a reward model on human labels, for ClassifierScorer."""
    quiet()
    from phf.labels.read import read_labels
    from phf.labels.scale import Scale
    from phf.models.model_folder import find_model
    from phf.reward.run import train_reward
    from phf.reward.settings import RewardSettings, parse_shares
    from phf.reward.show import show_reward, warnings_of

    settings = RewardSettings(
        epochs, learning_rate, batch_size, max_length, eval_fraction, parse_shares(curve, "--curve"), seed
    )
    settings.check()
    known_scale = None if scale is None else Scale.parse(scale)
    with console.status("Reading labels...") as status:
        read = read_labels(
            labels,
            scale=known_scale,
            higher_is_worse=None if higher_is is None else higher_is == "worse",
            part=text,
            on_error=on_error,
        )
        folder = find_model(Path(base))
        record = train_reward(labels, read, folder, output, settings, status.update)
    show_reward(record, console)
    for warning in warnings_of(record):
        say(warning, "yellow")
    scorer = f"{{class_name: ClassifierScorer, path_or_name: {output}}}"
    say(f"The reward model is in {output}. Next: phf annotate CORPUS --scorer {shlex.quote(scorer)} --output FOLDER")
