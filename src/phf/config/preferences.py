"""`dataset.conditioning: {preferences: [...]}`: several preferences at once, each with its own scores and control tokens.

Written out, they are settings of the class `ScorePreferences`: what says nothing about its column has that of the dataset, and
control tokens that are not named are called after their preference, `<|pii-1|>` the best.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from phf.config.levels import ambiguous
from phf.config.quantiles import with_edges
from phf.config.schema import DatasetConfig
from phf.config.schema.preference import PreferenceConfig
from phf.errors import ConfigError
from phf.storage.reading import short

CLASS_NAME = "ScorePreferences"
PREFERENCES = "preferences"
CONDITIONING = "dataset.conditioning"
NOT_SETTINGS = frozenset(PreferenceConfig.model_fields) - {"class_name"}
"""Keys of a preference that are not settings of its class."""


def with_preferences(values: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Plain values of a configuration, in which `preferences` of the section on control tokens is written out.

    `origin`: where the section is from, which errors begin with. Raises `ConfigError` for preferences that are not a list of
    mappings, lack a name, share one, or share control tokens.
    """
    dataset = values.get("dataset")
    section = dataset.get("conditioning") if isinstance(dataset, Mapping) else None
    if not isinstance(section, Mapping) or PREFERENCES not in section:
        return values
    assert isinstance(dataset, Mapping)
    where = f"{origin}: {CONDITIONING}"
    if section.get("class_name", CLASS_NAME) != CLASS_NAME:
        raise ConfigError(f"{where}: {PREFERENCES} choose the class themselves; leave class_name or {PREFERENCES} out.")
    items = section[PREFERENCES]
    if not isinstance(items, list) or not items:
        raise ConfigError(
            f"{where}.{PREFERENCES} is {short(repr(items))}; it must be a list with one or more preferences."
        )
    defaults = {
        "scores_column": dataset.get("scores_column", "scores"),
        "drop_token_fraction": section.get("drop_token_fraction", 0.0),
    }
    written_out = [_written_out(item, f"{where}.{PREFERENCES}.{number}", defaults) for number, item in enumerate(items)]
    tokens = _distinct(written_out, where)
    if section.get("control_tokens", tokens) != tokens:
        raise ConfigError(f"{where}.control_tokens follows from those of the {PREFERENCES}, {tokens}; leave it out.")
    with_class = {**section, "class_name": CLASS_NAME, "control_tokens": tokens, PREFERENCES: written_out}
    return {**values, "dataset": {**dataset, "conditioning": with_class}}


def _written_out(item: Any, where: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One preference with everything that it may leave out."""
    if not isinstance(item, Mapping) or not all(isinstance(key, str) for key in item):
        raise ConfigError(f"{where} is {short(repr(item))}; it must be a mapping with a name and settings.")
    section = dict(item)
    name = section.get("name")
    if "kind" in section:
        section = with_edges(section, where, f"{name}-")
    section.setdefault("class_name", "ScoreThresholds")
    if section["class_name"] == CLASS_NAME:
        raise ConfigError(f"{where}: a preference cannot consist of {PREFERENCES} itself.")
    thresholds = section.get("thresholds")
    if isinstance(thresholds, list) and section["class_name"] == "ScoreThresholds":
        numbers = range(1, len(thresholds) + 2)
        section.setdefault("control_tokens", [f"<|{name}-{number}|>" for number in numbers])
    for key, value in defaults.items():
        section[key] = value if section.get(key) is None else section[key]
    try:
        return PreferenceConfig.model_validate(section).model_dump()
    except ValidationError as error:
        problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        hint = " Or set thresholds, or kind: quantiles with num_bins." if key == "control_tokens" else ""
        raise ConfigError(f"{where}: '{key}' is missing.{hint}")
    raise ConfigError(f"{where}.{key} is {short(repr(problem['input']))}: {problem['msg']}.")


def _distinct(preferences: list[dict[str, Any]], where: str) -> list[str]:
    """All control tokens, in order. Raises `ConfigError` for names and control tokens that are not different."""
    names = [one["name"] for one in preferences]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f"{where}.{PREFERENCES}: two preferences are called {name!r}; give each its own name.")
    tokens = [token for one in preferences for token in one["control_tokens"]]
    if "" in tokens or len({*tokens}) < len(tokens):
        listed = ", ".join(repr(token) for token in tokens)
        raise ConfigError(
            f"{where}.{PREFERENCES}: control tokens must be different strings, none of them empty, not {listed}."
        )
    if pair := ambiguous({one["name"]: one["control_tokens"] for one in preferences}):
        raise ConfigError(
            f"{where}.{PREFERENCES}: the control token {pair[1]!r} begins with {pair[0]!r}, so a prompt could be read in two "
            "ways. Choose others, such as <|NAME-1|>."
        )
    return tokens


def preferences_of(section: Any) -> list[Mapping[str, Any]]:
    """The preferences of a section on control tokens, as plain values; empty for one that has a single one."""
    extra = getattr(section, "model_extra", None) or {}
    return list(extra.get(PREFERENCES) or []) if getattr(section, "class_name", None) == CLASS_NAME else []


def levels_of(section: Any) -> dict[str, list[str]]:
    """Preference -> its control tokens, best first, of a section on control tokens, None without; see `phf.config.levels`."""
    if section is None:
        return {}
    several = preferences_of(section)
    return {one["name"]: list(one["control_tokens"]) for one in several} or {"": list(section.control_tokens)}


def columns_of(dataset: DatasetConfig) -> dict[str, str]:
    """Column of scores that a dataset needs -> the key that names it; that of `scores_column` first."""
    columns = {dataset.scores_column: "dataset.scores_column"}
    for number, one in enumerate(preferences_of(dataset.conditioning)):
        columns.setdefault(str(one["scores_column"]), f"{CONDITIONING}.{PREFERENCES}.{number}.scores_column")
    return columns


def column_of(key: str, dataset: DatasetConfig) -> str:
    """The column whose scores the setting at a dotted key is about."""
    number = key.removeprefix(f"{CONDITIONING}.{PREFERENCES}.").partition(".")[0]
    is_of_one = key.startswith(f"{CONDITIONING}.{PREFERENCES}.") and number.isdecimal()
    return (
        str(preferences_of(dataset.conditioning)[int(number)]["scores_column"]) if is_of_one else dataset.scores_column
    )


def settings_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """`class_name` and settings of what chooses the control tokens of one preference."""
    return {key: value for key, value in one.items() if key not in NOT_SETTINGS}


def numbered(section: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dotted key, preference) of each of a section."""
    for number, one in enumerate(preferences_of(section)):
        yield f"{CONDITIONING}.{PREFERENCES}.{number}", one
