"""Options that several commands share, and their interpretation."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phf.cli import completion
from phf.cli.terminal import say
from phf.errors import ConfigError
from phf.workers.launcher import rank

if TYPE_CHECKING:
    from phf.config import Config

Task = Annotated[
    str | None,
    typer.Option(help="Shipped task (pep8 is pep8/pretrain) or a YAML file.", autocompletion=completion.tasks),
]
Method = Annotated[
    str | None,
    typer.Option(help="Shipped method (mle, conditional, ...) or a YAML file.", autocompletion=completion.methods),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--override", help="section.key=value; repeat it or list several.", autocompletion=completion.overrides
    ),
]
OwnTask = Annotated[
    str | None,
    typer.Option(
        help="Shipped task (pep8 is pep8/pretrain) or a YAML file; default: that of the run.",
        autocompletion=completion.tasks,
    ),
]
ResolvedTask = Annotated[
    Path | None, typer.Option("--config", help="A resolved configuration (config.yaml of a run), instead of --task.")
]


def said(option: typer.CallbackParam, value: str | None) -> str | None:
    """The value of an option, unless it is blank, as of a variable that is not set: it would ask for nothing, silently."""
    if value is not None and not value.strip():
        raise ConfigError(f"{option.opts[0]} is empty. Say what is wanted, or leave it out.")
    return value


Prefer = Annotated[
    str | None,
    typer.Option(
        callback=said,
        help="Level of each preference that texts start with: pep8=best,pii=worst. For a model with one preference: best, "
        "worst, none, or a number from 1.",
    ),
]
Export = Annotated[Path | None, typer.Option(help="Folder for each figure as CSV, SVG and PNG, and each table as CSV.")]
MoreOverrides = Annotated[list[str] | None, typer.Argument(hidden=True, autocompletion=completion.overrides)]

SCORER_FORM = "Write it like {class_name: NAME, key: value}."


def finite(option: typer.CallbackParam, value: float | None) -> float | None:
    """The value of an option, unless it is NaN or infinite: no comparison with NaN holds, so a limit would never apply."""
    if value is not None and not math.isfinite(value):
        raise ConfigError(f"{option.opts[0]} {value}: it must be a finite number.")
    return value


def score(option: typer.CallbackParam, value: float | None) -> float | None:
    """The value of an option that scores are compared with."""
    from phf.config.percentile import BEYOND, LARGEST

    if (value := finite(option, value)) is not None and abs(value) > LARGEST:
        raise ConfigError(f"{option.opts[0]} {value:g}: {BEYOND}.")
    return value


def say_exported(to: Path | None) -> None:
    """Where the files of --export are."""
    if to is not None:
        say(f"Figures and tables: {to}")


def scorer_section(text: str, option: str = "--scorer") -> dict[str, Any]:
    """A scorer's name, or its section of a configuration written inline; `option`: the one that it is given to."""
    if not text.lstrip().startswith("{"):
        return {"class_name": text}
    from phf.storage.plain_yaml import parse_yaml
    from phf.storage.secrets import redacted, refuse_secrets

    section = parse_yaml(text, f"{option} {redacted(text)}", ConfigError, SCORER_FORM)
    refuse_secrets(section, option)
    if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
        raise ConfigError(f"{option} {text}: is not a YAML mapping. {SCORER_FORM}")
    return section


def load(
    task: str | None, method: str | None, config: Path | None, overrides: list[str], *, size: str | None = None
) -> "Config":
    from phf.config import load_config

    resolved, warnings = load_config(task=task, method=method, size=size, config=config, overrides=overrides)
    for warning in warnings if rank() == 0 else ():
        say(warning, "yellow")
    return resolved


def load_for_models(models: list[Path], task: str | None, config: Path | None, overrides: list[str]) -> "Config":
    """The task for the models: the one given, by its name or in a resolved file, otherwise that of the first one's own run."""
    from phf.config import load_config
    from phf.models.model_folder import own_task

    if task is None and config is None:
        config = next(filter(None, map(own_task, models)), None)
        if config is None:
            raise ConfigError(
                f"{models[0]} is not the model of a run, so its task is not known. Choose one with --task."
            )
        if rank() == 0:
            say(f"Task: that of {config.parent}")
    resolved, warnings = load_config(task=task, config=config, overrides=overrides, for_models=True)
    for warning in warnings if rank() == 0 else ():
        say(warning, "yellow")
    return resolved


def preferring(prefer: str | None) -> list[str]:
    """The override that --prefer stands for."""
    return [] if prefer is None else [f"generation.prefer={json.dumps(prefer)}"]
