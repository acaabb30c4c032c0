"""Reading configuration: find the files, merge them, apply overrides, and report where a mistake was made.

    config = load_config(task="pep8", method="awr", overrides=["training.seed=1"])

Nothing is evaluated: values are YAML, parsed by the type of their field.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from phf.config.derive import derive
from phf.config.layers import apply_override, merge, origin_of, refuse_second_method
from phf.config.named import CONDITIONING, KeyPath, named_problems
from phf.config.phases import is_schedule
from phf.config.preferences import with_preferences
from phf.config.quantiles import with_quantiles
from phf.config.released import check_spelled_out, take_spelled_out, translate
from phf.config.scheduled import OF_METHODS, Layer, with_phases
from phf.config.schema import Config
from phf.config.sizes import refuse_size, size_layers
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.storage.plain_yaml import parse_yaml, read_yaml
from phf.storage.reading import short
from phf.storage.secrets import refuse_secrets

SHIPPED = resources.files("phf") / "configs"
TASK_FILES = ("pretrain", "finetune", "quickstart", "packages", "emails")
"""File names that are tasks; every other file next to them is a method."""

MAX_PROBLEMS = 20
"""Mistakes that one error lists."""


def load_config(
    *,
    task: str | None = None,
    method: str | None = None,
    size: str | None = None,
    config: Path | None = None,
    overrides: Iterable[str] = (),
    for_models: bool = False,
) -> tuple[Config, list[str]]:
    """Load a task merged with a method, or one resolved file, then overrides; returns it with warnings for the reader.

    Args:
        task: shipped name (`pep8` is `pep8/pretrain`, `pep8/finetune`) or path of a YAML file.
        method: shipped name (`awr`, looked up next to the task) or path; None: what the task file itself says.
        size: of the model and the run, for a task that has sizes; None: the one that the task file names.
        config: a resolved file, instead of task and method.
        overrides: `section.key=value`, value in YAML.
        for_models: the task is for models with their own control tokens, so scenarios may name any.

    Raises `ConfigError` naming the file, the key and the nearest known key.
    """
    if (config is None) == (task is None):
        raise ConfigError("Give either a task (--task, with --method) or a resolved file (--config).")
    names: dict[str, str] = {}
    num_base = None
    if config is not None:
        if size is not None:
            raise ConfigError(f"--size {size} needs a task (--task); {config} says itself which model it trains.")
        if method is not None:
            raise ConfigError(
                f"--method {method} needs a task (--task); {config} says itself how it trains, with --config."
            )
        layers = [(str(config), read_sections(config))]
    else:
        assert task is not None
        task_file = find_task(task)
        sections = read_sections(task_file)
        refuse_second_method(sections, task_file, method)
        chosen, layers = size_layers(sections, task_file, Path(str(SHIPPED)), size)
        layers.append((_label(task_file), sections))
        names |= {"task": task, **({} if chosen is None else {"size": chosen})}
        num_base = len(layers)
        if method is not None:
            method_file = find_method(method, task_file)
            layers.append((_label(method_file), read_sections(method_file)))
            refuse_size(layers[-1][1], layers[-1][0])
            names["method"] = method
    merged: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    warnings: list[str] = []
    for origin, layer in layers:
        warnings += [*translate(layer, origin), *_without_leave(layer)]
        merged = merge(merged, layer, origin, origins)
    merged |= names
    for override in overrides:
        refuse_size({override.partition("=")[0].strip(): None}, f"--override {override}")
        warnings += apply_override(merged, override, origins)
    warnings += translate(merged, "--override")
    if is_schedule(merged):
        base, own = (layers[:num_base], layers[num_base:]) if config is None else ([_without_method(layers[0])], [])
        file = config if task is None else find_task(task)
        merged, origins, notes = _with_phases(merged, origins, (base, own), list(overrides), file)
        warnings += notes
    return _resolved(merged, origins, for_models=for_models), warnings


def _with_phases(
    merged: dict[str, Any],
    origins: dict[KeyPath, str],
    layers: tuple[list[Layer], list[Layer]],
    overrides: list[str],
    file: Path | None,
) -> tuple[dict[str, Any], dict[KeyPath, str], list[str]]:
    """See `phf.config.scheduled.with_phases`; methods are looked up next to `file`. Also returns warnings."""
    assert file is not None
    warnings: dict[str, None] = {}

    def read_method(name: str) -> Layer:
        path = find_method(name, file)
        layer = _label(path), read_sections(path)
        warnings.update(dict.fromkeys([*translate(layer[1], layer[0]), *_without_leave(layer[1])]))
        return layer

    def resolve(values: dict[str, Any], of: Mapping[KeyPath, str]) -> Config:
        return _resolved(values, of, for_models=True)  # a phase without control tokens may be sampled after one

    values, origins = with_phases(merged, *layers, overrides, origins, read_method, resolve)
    return values, origins, list(warnings)


def _without_method(layer: Layer) -> Layer:
    """A whole file without what belongs to a method, which its phases have."""
    origin, sections = layer
    dataset = sections.get("dataset")
    kept = {key: value for key, value in sections.items() if (key,) not in OF_METHODS}
    if isinstance(dataset, dict):
        kept["dataset"] = {key: value for key, value in dataset.items() if ("dataset", key) not in OF_METHODS}
    return origin, kept


def _resolved(values: dict[str, Any], origins: Mapping[KeyPath, str] | None = None, *, for_models: bool) -> Config:
    """The configuration of merged, translated values, from which spelled-out released keys are removed."""
    spelled_out = take_spelled_out(values)
    config = derive(parse_config(values, origins), for_models=for_models)
    check_spelled_out(spelled_out, config.dataset, for_models=for_models)
    return config


def _without_leave(values: dict[str, Any]) -> list[str]:
    """Remove the permission to run programs from the values of files, in place: a file may come from a stranger."""
    downstream = values.get("downstream")
    if not isinstance(downstream, dict) or downstream.get("allow_code_execution") in (None, False):
        return []
    values["downstream"] = {**downstream, "allow_code_execution": False}
    return [
        "downstream.allow_code_execution is ignored in a file, since it allows programs to run: use --override "
        "downstream.allow_code_execution=true on the command line."
    ]


def parse_config(values: Mapping[str, Any], origins: Mapping[KeyPath, str] | None = None) -> Config:
    """Validate plain values. `origins` says which file each key path came from, for error messages."""
    origins = origins or {}
    origin = origin_of(CONDITIONING, origins)
    values = with_preferences(with_quantiles(values, origin), origin)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = _described(errors[:MAX_PROBLEMS], values, origins)
        more = [f"... and {len(errors) - MAX_PROBLEMS:,} more problems."] if len(errors) > MAX_PROBLEMS else []
        raise ConfigError("\n".join(problems + more)) from None
    if problems := [
        f"{origin_of(at, origins)}: {_dotted(at)} {what}" for at, what in named_problems(config.model_dump())
    ]:
        raise ConfigError("\n".join(problems))
    return config


def saved_config(text: str, where: str) -> Config:
    """The configuration that a run, of this version or an older one, has saved; see `load_config`."""
    values = parse_yaml(text, where, ConfigError)
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: contains no sections (dataset:, model:, training:, ...).")
    translate(values, where)
    return _resolved(values, for_models=True)


def dump_config(config: Config) -> str:
    """The resolved configuration as YAML; `load_config(config=...)` reads it back unchanged."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True, width=100)


def shipped_files() -> dict[str, dict[str, str]]:
    """The shipped "tasks" and "methods": name ("pep8/awr") -> what the first line of the file says."""
    descriptions: dict[str, dict[str, str]] = {"tasks": {}, "methods": {}}
    for path in sorted(Path(str(SHIPPED)).glob("*/*.yml")):
        summary = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        descriptions["tasks" if path.stem in TASK_FILES else "methods"][f"{path.parent.name}/{path.stem}"] = summary
    return descriptions


def find_task(task: str) -> Path:
    """Path of a task file, from a path or a shipped name."""
    name = task if "/" in task else f"{task}/pretrain"
    return _find(task, f"{name}.yml", list(shipped_files()["tasks"]), "task")


def find_method(method: str, task_file: Path) -> Path:
    """Path of a method file, from a path, a shipped name, or a bare name next to the task's file.

    Next to a task, the task `finetune` prefers `finetune-awr.yml` to `awr.yml` for the method `awr`. A method that is not
    next to a user's task is taken from `generic`.
    """
    generic = Path(str(SHIPPED)) / "generic"
    candidates = [task_file.parent / f"{task_file.stem}-{method}.yml", task_file.parent / f"{method}.yml"]
    for path in [*candidates, generic / f"{method}.yml"]:
        if "/" not in method and path.is_file():
            return path
    known = [name.removeprefix(f"{task_file.parent.name}/") for name in shipped_files()["methods"]]
    return _find(method, f"{method}.yml", known, "method")


def _find(name: str, shipped_name: str, known: list[str], kind: str) -> Path:
    if name.endswith((".yml", ".yaml")):
        path = Path(name)
        if not path.exists():
            raise ConfigError(f"--{kind} {name}: there is no such file.")
        return path
    shipped = Path(str(SHIPPED)) / shipped_name
    if not shipped.is_file():
        raise ConfigError(f"--{kind} {name}: no such {kind}. {did_you_mean(name, known)} Or give a .yml file.")
    return shipped


def read_sections(path: Path) -> dict[str, Any]:
    """A YAML file of sections. Raises `ConfigError` naming file and line."""
    values = read_yaml(path, ConfigError)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path}: contains no sections (dataset:, model:, training:, ...).")
    refuse_secrets(values, str(path))
    return values


def _label(path: Path) -> str:
    shipped = Path(str(SHIPPED))
    return f"configs/{path.relative_to(shipped)}" if path.is_relative_to(shipped) else str(path)


def _dotted(at: KeyPath) -> str:
    return ".".join(map(str, at))


def _described(errors: Sequence[Any], values: Any, origins: Mapping[KeyPath, str]) -> list[str]:
    """A line for each key that is wrong. Of a key that may be of several types pydantic reports each, as if below it."""
    at_key: dict[str, list[str]] = {}
    for error in errors:
        at = tuple(error["loc"])
        if error["type"] not in ("extra_forbidden", "missing"):
            at = _written_part(at, values)
        text = _describe({**error, "loc": at}, origins)
        start, separator, reason = text.rpartition(": ")
        at_key.setdefault(start + separator, []).append(reason)
    return [
        start + ", or ".join(dict.fromkeys(reasons)).replace("., or ", ", or ") for start, reasons in at_key.items()
    ]


def _written_part(at: KeyPath, values: Any) -> KeyPath:
    """The part of a path that leads to a value."""
    for number, key in enumerate(at):
        items = values if isinstance(values, Mapping) else dict(enumerate(values)) if isinstance(values, list) else {}
        if key not in items:
            return at[:number]
        values = items[key]
    return at


def _describe(problem: Any, origins: Mapping[KeyPath, str]) -> str:
    """One line for one pydantic error: file, dotted key, what is wrong, nearest known key."""
    at: KeyPath = tuple(problem["loc"])
    origin, key = origin_of(at, origins), _dotted(at)
    if problem["type"] == "extra_forbidden":
        return f"{origin}: unknown key '{key}'. {did_you_mean(str(at[-1]), _known_keys(at[:-1]))}"
    if problem["type"] == "missing":
        hint = " A task file names its scorer there." if at[:2] == ("generation", "scorer_config") else ""
        if at == ("generation",):
            hint = " A task file names its scorer in generation.scorer_config."
        return f"{origin}: '{key}' is missing.{hint}"
    return f"{origin}: '{key}' is {short(repr(problem['input']))}: {problem['msg']}."


def _known_keys(at: KeyPath) -> list[str]:
    model: type[BaseModel] = Config
    for key in at:
        if isinstance(key, int):
            continue  # an item has the type that its list declares
        annotation = model.model_fields[key].annotation
        options = [annotation, *get_args(annotation)]
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return list(model.model_fields)
