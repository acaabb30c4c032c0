"""A study file: which tasks, methods, settings and seeds are compared."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from phf.config.files import MAX_PROBLEMS
from phf.config.schema.generation import FileName
from phf.config.schema.section import Section
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.storage.plain_yaml import read_yaml
from phf.storage.reading import short
from phf.storage.secrets import refuse_secrets

SHIPPED = resources.files("phf.study") / "shipped"


class Setting(Section):
    """One way of running some of the methods."""

    name: FileName
    """Part of the names of its runs."""
    methods: list[str] | None = None
    """The methods it applies to, as they are called in the study; null: all of them."""
    overrides: dict[str, Any] = {}
    """section.key -> value."""


class Measurement(Section):
    """What a command measures on the model of each run after its training; `true` in a study file is one as it is."""

    overrides: dict[str, Any] = {}
    """section.key -> value, for this command alone."""


class Evaluation(Measurement):
    """`phf evaluate`."""

    only: list[str] = []
    """Parts that it measures; empty: all that the task configures."""


def _as_mapping(value: Any) -> Any:
    """`true` as settings without any, `false` as null."""
    return ({} if value else None) if isinstance(value, bool) else value


def _as_section(value: Any) -> Any:
    """A scorer that is named without settings as the section that it stands for."""
    return {"class_name": value} if isinstance(value, str) else value


class Study(Section):
    """Every task with every method, in each setting that applies to it, with every seed."""

    tasks: list[str] = Field(min_length=1)
    """Shipped names or paths of task files."""
    size: str | None = None
    """Size of the tasks that have sizes; null: that of the task."""
    methods: list[str] = Field(min_length=1)
    """Shipped names or paths of method files; a method is called by the last part of its name."""
    seeds: list[int] = Field(default=[1, 2, 3], min_length=1)
    """`training.seed` of each run of a method."""
    settings: list[Setting] = []
    """A method to which none applies is run once per seed, as it is."""
    switch_points: list[Annotated[float, Field(ge=0, lt=1)]] = Field(default=[0.0], min_length=1)
    """Shares of the tokens that are trained with MLE before the method, in [0, 1): 0 is the method from the start."""
    num_tokens: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """`training.num_tokens` of every run; null: that of the task."""
    overrides: dict[str, Any] = {}
    """section.key -> value, for every run."""
    training_from: Literal["method", "task"] = "method"
    """`task`: batch size, learning rate and the like are those of the task even where the file of a method changes them, so
    that runs differ in the method alone."""
    evaluate: Annotated[Evaluation | None, BeforeValidator(_as_mapping)] = None
    """`phf evaluate` after the training of each run; its numbers take the place of those that training ends with."""
    redteam: Annotated[Measurement | None, BeforeValidator(_as_mapping)] = None
    """`phf redteam` after the training of each run."""
    held_out_scorers: list[Annotated[dict[str, Any], BeforeValidator(_as_section)]] = []
    """Scorers that took no part in training, each a name, or `class_name` and settings: the samples of all runs are scored by
    them, too, those of finished runs without training again, and the page says whether improvements hold by them."""
    baseline: str | None = None
    """The method that the others are compared with; null: mle, or the first."""


SHAPES: dict[str, type[BaseModel]] = {"settings": Setting, "evaluate": Evaluation, "redteam": Measurement}
"""The keys of a study that are mappings themselves."""


def read_study(name: str) -> tuple[str, Study]:
    """(name of the study, the study) of a shipped name or the path of a YAML file. Raises `ConfigError`."""
    path = Path(name)
    if path.suffix not in (".yml", ".yaml"):
        path = Path(str(SHIPPED)) / f"{name}.yml"
        if name not in shipped_studies():
            raise ConfigError(
                f"{name}: there is no such study. {did_you_mean(name, shipped_studies())} Or give a .yml file."
            )
    elif not path.is_file():
        raise ConfigError(f"{name}: there is no such file.")
    values = read_yaml(path, ConfigError)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: is not a study: it must have the keys tasks and methods.")
    refuse_secrets(values, str(path))
    return path.stem, parse_study(values, str(path))


def parse_study(values: dict[str, Any], where: str) -> Study:
    """A study of plain values. Raises `ConfigError` that names the file, the key and the nearest known key."""
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)[:MAX_PROBLEMS]
        raise ConfigError("\n".join(_describe(problem, where) for problem in errors)) from None


def shipped_studies() -> dict[str, str]:
    """Name of each shipped study -> what the first line of its file says."""
    return {
        path.stem: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        for path in sorted(Path(str(SHIPPED)).glob("*.yml"))
    }


def _describe(problem: Any, where: str) -> str:
    at = problem["loc"]
    key = ".".join(map(str, at))
    if problem["type"] == "extra_forbidden":
        shape = Study if len(at) == 1 else SHAPES[str(at[0])]
        return f"{where}: unknown key '{key}'. {did_you_mean(str(at[-1]), shape.model_fields)}"
    if problem["type"] == "missing":
        return f"{where}: '{key}' is missing."
    return f"{where}: '{key}' is {short(repr(problem['input']))}: {problem['msg']}."
