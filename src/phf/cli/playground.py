"""`phf playground`: one prompt, several models and ways to prompt them, side by side in the browser."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import OwnTask, ResolvedTask, finite, load_for_models, scorer_section
from phf.cli.terminal import console, quiet, say, say_result
from phf.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from phf.config import Config


def playground(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, or folders of Hugging Face causal LMs, e.g. runs/<name>/model.")
    ],
    task: OwnTask = None,
    config: ResolvedTask = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            help="Scorer (phf list scorers), or {class_name: ..., key: value}; default: that of the task.",
            autocompletion=completion.scorers,
        ),
    ] = None,
    unscored: Annotated[bool, typer.Option("--unscored", help="Show no scores.")] = False,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            help="Levels of preferences to show, as for phf evaluate: pep8=best,pii=worst. Repeat it for more."
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Annotated dataset in which to look for where texts come from; repeat it for several, as for phf audit."
        ),
    ] = None,
    scores_column: Annotated[str, typer.Option(help="Column of scores of the dataset.")] = "scores",
    max_seconds: Annotated[
        float,
        typer.Option(min=1, callback=finite, help="Longest time for the columns of one request, and for a search."),
    ] = 120,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0: any free one.")] = 0,
) -> None:
    """Try models in the browser, side by side, with live scores."""
    if unscored and scorer is not None:
        raise ConfigError("--scorer and --unscored contradict each other. Leave one out.")
    if importlib.util.find_spec("gradio") is None:  # before a model is loaded
        raise MissingExtraError("phf playground", "gradio", "playground")
    section = None if scorer is None else scorer_section(scorer)
    quiet()
    from phf.cli.working import working
    from phf.playground.server import check_port, serving
    from phf.playground.site import find_models, open_site

    check_port(port)
    folders = find_models(models)
    resolved = _task(folders, task, config)
    if section is None and resolved is not None:
        section = resolved.generation.scorer_config
    if unscored:
        section = None
    elif section is None:
        say(f"{folders[0]} is not the model of a run, so nothing is scored. Choose a scorer with --scorer.", "yellow")
    with working(console, "Loading") as retitle:
        site = open_site(
            models,
            folders,
            resolved,
            section,
            task_arguments=_task_arguments(task, config),
            requests=prefer or (),
            datasets=dataset or (),
            scores_column=scores_column,
            announce=retitle,
        )
    for notice in site.notices:
        say(notice, "yellow")
    with serving(site, port, max_seconds=max_seconds) as server:
        say_result(f"Open {server.url}")
        answer({"url": server.url, "models": [model.name for model in site.models]})
        say("Only this machine can reach it, and nothing is sent anywhere. Ctrl-C ends it.")
        while server.thread.is_alive():
            server.thread.join(0.2)


def _task(folders: list[Path], task: str | None, config: Path | None) -> "Config | None":
    """The task given, or that of the first model that has one; None for models from elsewhere."""
    from phf.models.model_folder import own_task

    if task is None and config is None and not any(map(own_task, folders)):
        return None
    return load_for_models(folders, task, config, [])


def _task_arguments(task: str | None, config: Path | None) -> list[Any]:
    given = {"--task": task, "--config": config}
    return [str(part) for option, value in given.items() if value is not None for part in (option, value)]
