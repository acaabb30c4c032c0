"""`phf refresh`: train a model on with its own samples, scored."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import answer
from phf.cli.options import Export, MoreOverrides, Overrides, finite, say_exported
from phf.cli.terminal import console, quiet, results, say, say_next


def refresh(
    run: Annotated[Path, typer.Argument(help="A finished run of phf train.")],
    more: MoreOverrides = None,
    override: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the rounds and the result; default: runs/refresh-<name>."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of sampling, scoring and training.")] = 4,
    samples: Annotated[int, typer.Option(min=1, help="Texts sampled in each round.")] = 1024,
    share: Annotated[
        float,
        typer.Option(
            callback=finite, help="Share of the tokens of a round from samples; the rest is the run's own data."
        ),
    ] = 0.25,
    scenario: Annotated[
        str | None, typer.Option(help="Generation scenario that is sampled; default: the run's first one.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(callback=finite, help="Temperature of the samples that are trained on.")
    ] = 1.0,
    learning_rate: Annotated[
        float | None, typer.Option(callback=finite, help="Highest learning rate; default: a tenth of the run's.")
    ] = None,
    max_kl: Annotated[
        float | None,
        typer.Option(
            callback=finite, help="Stop at a model with a KL from the start above this, in nats per sequence."
        ),
    ] = None,
    kl_samples: Annotated[int, typer.Option(min=2, help="Samples that KL is estimated from.")] = 512,
    kl_tokens: Annotated[int, typer.Option(min=1, help="Tokens at which these are cut off.")] = 64,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of samples, documents and training.")] = 0,
    export: Export = None,
) -> None:
    """Train a model on with its own samples, scored, for some rounds; watch KL."""
    quiet()
    from phf.cli.progress import heartbeat, shows_bars, training_progress
    from phf.models.model_folder import model_name
    from phf.refresh.answer import PAGE, to_json
    from phf.refresh.rounds import Callbacks
    from phf.refresh.run import refresh_run
    from phf.refresh.settings import RefreshSettings
    from phf.refresh.show import notes_of, show_refresh

    settings = RefreshSettings(
        rounds, samples, share, scenario, temperature, learning_rate, max_kl, kl_samples, kl_tokens, seed
    )
    settings.check()
    output = output or Path("runs") / f"refresh-{model_name(run)}"
    with training_progress(console) as progress:
        shown = [""]

        def name_of(name: str) -> str:
            """The name of a round, which is then the only one that is reported."""
            if name != shown[0]:
                progress.over(shown[0])
                shown[0] = name
            return name

        callbacks = Callbacks(
            say,
            lambda name, what: progress.doing(name_of(name), what),
            lambda name, *numbers: progress.show(name_of(name), *numbers),
        )
        # on a terminal, the details of an activity; the lines of a log have them already
        is_shown = shows_bars(console)
        details = heartbeat(console, lambda text: progress.doing(shown[0], text)) if is_shown else nullcontext()
        with details:
            refreshed = refresh_run(run, output, settings, callbacks, [*(override or []), *(more or [])], export)
    show_refresh(refreshed, results)
    for note in notes_of(refreshed):
        say(note, "yellow")
    say_exported(export)
    result = shlex.quote(str(output))
    say_next(
        f"The result is in {output}: model, refresh.json, report.html",
        (f"phf evaluate {result}", "more samples and parts"),
    )
    answer({"output": output, "page": output / PAGE, "export": export, "refresh": to_json(refreshed)})
