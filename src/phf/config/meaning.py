"""What a configuration means, as plain values: two that mean the same are equal, however and by whichever version they
were written.

Keys that were left out have their defaults, released keys their names of today, settings of a class the types of its
arguments; texts that spell a number for Trainer are numbers, and paths that lead to one file are one path.
"""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from phf.config.differences import differences
from phf.config.files import load_config
from phf.config.named import KeyPath, with_named
from phf.config.released import translate
from phf.config.schema import Config, RedTeamConfig, ScenarioConfig
from phf.config.trainer import deciding, with_trainer_defaults
from phf.registry.names import RED_LMS, Registry

PATHS: tuple[KeyPath, ...] = (
    ("dataset", "datasets", "*"),
    ("dataset", "eval_datasets", "*"),
    ("tokenizer", "path_or_name"),
    ("model", "path_or_name"),
    ("generation", "scenario_configs", "*", "prompts_path"),
    ("kl_gpt3_callback", "reference", "path_or_name"),
    ("downstream", "tasks", "*"),
    ("downstream", "include_path"),
    ("glue", "data_dir"),
    ("redteam", "prompts_path"),
)
"""Values that may be paths; "*": each item of a list."""
WITHOUT_MEANING: tuple[KeyPath, ...] = (
    ("task",),
    ("method",),
    ("size",),
    ("dataset", "backend"),
    ("dataset", "ray_address"),
    ("downstream", "allow_code_execution"),
    ("generation", "scenario_configs", "*", "generate_kwargs", "bad_words_ids"),
)
"""Labels for people, where the corpus is encoded, permission to run programs, and the released way to ban control tokens,
from which others derive."""
OF_MEMORY = ("per_device_train_batch_size", "activation_checkpointing", "activation_checkpointing_kwargs")
"""Keys of `training` that decide how much memory a step takes, not what it computes; by their current names."""


def meaning_of(config: Config, sections: Collection[str] | None = None) -> dict[str, Any]:
    """Plain values that are equal for configurations that mean the same; of these sections only, if they are named."""
    values = config.model_dump()
    values["training"] = {key: _as_number(value) for key, value in values["training"].items()}
    if _is_any_micro_batch_the_same(config):
        values["training"] = {key: value for key, value in values["training"].items() if key not in OF_MEMORY}
    values = with_named(values, Registry.canonical)
    for path in PATHS:
        values = _changed(values, path, _as_path)
    for path in WITHOUT_MEANING:
        values = _without(values, path)
    return values if sections is None else {key: values[key] for key in sections}


def lasting_meaning_of(config: Config) -> dict[str, Any]:
    """What the model is: the same without what is at its default, so that keys which a later version adds do not change it,
    and without keys that leave the model as it is; for hashes."""
    values = config.model_dump(exclude_defaults=True)
    training = {key: _as_number(value) for key, value in values["training"].items()}
    if _is_any_micro_batch_the_same(config):
        training.pop("per_device_train_batch_size", None)
    values["training"] = deciding(training)
    values = with_named(values, partial(Registry.canonical, is_short=True))
    for path in WITHOUT_MEANING:
        values = _without(values, path)
    return _with_whole_numbers(values)


def meaning_of_scenario(section: Mapping[str, Any]) -> dict[str, Any]:
    """The same of one of `generation.scenario_configs`, given as plain values that an older version may have saved.

    Raises `ValidationError` for what is not a scenario.
    """
    values: dict[str, Any] = {"generation": {"scenario_configs": [dict(section)]}}
    translate(values, "")
    scenario = ScenarioConfig.model_validate(values["generation"]["scenario_configs"][0]).model_dump()
    scenario["generate_kwargs"] = _without_key(scenario["generate_kwargs"], "bad_words_ids")
    return scenario


def meaning_of_redteam(section: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a section `redteam`, given as plain values; only the location of its prompts is part of it."""
    settings = RedTeamConfig.model_validate(section).model_dump(exclude={"prompts_path", "prompts_column"})
    return {**settings, "red_lm": RED_LMS.canonical(settings["red_lm"])}


def configuration_differences(path: Path, now: Config, sections: Collection[str] | None = None) -> str:
    """How the meaning of a saved configuration differs from `now`, by keys; "" if it does not.

    Raises `ConfigError` for a file that is not a configuration.
    """
    before = meaning_of(load_config(config=path, for_models=True)[0], sections)
    after = meaning_of(now, sections)
    if "training" in after:
        keys = before["training"].keys() ^ after["training"].keys()
        for values in (before, after):
            values["training"] = with_trainer_defaults(values["training"], keys)
    return differences(before, after)


def _is_any_micro_batch_the_same(config: Config) -> bool:
    """Whether a step is the same however it is cut: its size is set, and no statistics of the parts are used."""
    objectives = [config.objective, *(phase.objective for phase in config.schedule)]
    of_parts = any(objective.get("normalize_advantage") for objective in objectives)
    return config.training.effective_batch_size is not None and not of_parts


def _changed(values: Any, path: KeyPath, change: Any) -> Any:
    if not path:
        return change(values)
    first, *rest = path
    if first == "*" and isinstance(values, list):
        return [_changed(item, tuple(rest), change) for item in values]
    if isinstance(values, dict) and first in values:
        return {**values, first: _changed(values[first], tuple(rest), change)}
    return values


def _without(values: Any, path: KeyPath) -> Any:
    *holder, last = path
    return _changed(values, tuple(holder), lambda at: _without_key(at, last))


def _without_key(values: Any, key: str | int) -> Any:
    return {name: value for name, value in values.items() if name != key} if isinstance(values, dict) else values


def _as_path(value: Any) -> Any:
    """The canonical path of an existing file; anything else unchanged."""
    try:
        return str(Path(value).resolve()) if isinstance(value, str) and value and Path(value).exists() else value
    except (OSError, ValueError):  # not a path: too long, or with a NUL character
        return value


def _as_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _with_whole_numbers(value: Any) -> Any:
    """1 for 1.0, which JSON spells otherwise."""
    if isinstance(value, dict):
        return {key: _with_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
