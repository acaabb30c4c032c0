"""Sections that name a class and its settings: scorers, metrics, the parts of a method, the red LM."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from phf.config.percentile import percentile_of
from phf.config.preferences import CLASS_NAME, PREFERENCES
from phf.config.preferences import NOT_SETTINGS as OF_A_PREFERENCE
from phf.config.schema import ConditioningConfig
from phf.registry.names import CONDITIONINGS, DOCUMENT_FILTERS, METRICS, OBJECTIVES, RED_LMS, SCORERS, Registry

KeyPath = tuple[str | int, ...]
OBJECTIVE: KeyPath = ("objective",)
DOCUMENT_FILTER: KeyPath = ("dataset", "document_filter")
CONDITIONING: KeyPath = ("dataset", "conditioning")
NAME_KEYS = {OBJECTIVE: "name"}
"""The key that holds the name, if it is not `class_name`."""
NOT_SETTINGS = {CONDITIONING: set(ConditioningConfig.model_fields) - {"class_name"}}
"""Keys besides the name that are not settings of the class."""
MAY_BE_PERCENTILES = (OBJECTIVE, DOCUMENT_FILTER, CONDITIONING)
"""Sections in which `p5` becomes a number when the data has been read."""
PHASE: KeyPath = ("schedule", "*")
"""Where a phase has the parts of its method, under the keys that they have in the configuration."""
OF_METHODS = ((OBJECTIVE, OBJECTIVES), (DOCUMENT_FILTER, DOCUMENT_FILTERS), (CONDITIONING, CONDITIONINGS))
PLACES: tuple[tuple[KeyPath, Registry], ...] = (
    *OF_METHODS,
    *(((*PHASE, *place), registry) for place, registry in OF_METHODS),
    (("generation", "scorer_config"), SCORERS),
    (("generation", "metrics_configs", "*"), METRICS),
    (("generation", "scenario_configs", "*", "scorers", "*"), SCORERS),
    (("redteam", "red_lm"), RED_LMS),
)
"""Where such sections are ("*": each item of a list), and the registry that knows their names."""


COMPOSITES = {
    **dict.fromkeys(("CompositeScorer", SCORERS.entries["CompositeScorer"][0]), "scorers"),
    **dict.fromkeys((CLASS_NAME, CONDITIONINGS.entries[CLASS_NAME][0]), PREFERENCES),
}
"""Class -> its setting that is a list of further sections, for the same registry."""


def named_problems(values: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """(path of a key, problem) in the sections of a configuration, given as plain values."""
    for place, registry in PLACES:
        for path, section in _with_parts(_sections(values, place)):
            for key, problem in registry.problems(_settings(path, section), name_key(path)):
                yield (*path, key), problem


def with_named(values: Any, change: Callable[[Registry, Mapping[str, Any], str], dict[str, Any]]) -> Any:
    """A copy of plain values in which each of these sections is what `change(registry, section, name key)` makes of it."""
    for place, registry in PLACES:
        for path, section in list(_with_parts(_sections(values, place))):
            apart = {key: value for key, value in section.items() if key in _not_settings(_in_method(path))}
            settings = {key: value for key, value in section.items() if key not in apart}
            values = _replaced(values, path, {**apart, **change(registry, settings, name_key(path))})
    return values


def _sections(values: Any, place: KeyPath, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if not place:
        if isinstance(values, Mapping):
            yield path, values
    elif place[0] == "*":
        for number, item in enumerate(values if isinstance(values, list | tuple) else ()):
            yield from _sections(item, place[1:], (*path, number))
    elif isinstance(values, Mapping) and place[0] in values:
        yield from _sections(values[place[0]], place[1:], (*path, place[0]))


def _with_parts(sections: Iterator[tuple[KeyPath, Mapping[str, Any]]]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """The sections, each followed by the sections of its parts if it is composed of others."""
    for path, section in sections:
        yield path, section
        key = COMPOSITES.get(str(section.get(name_key(path))))
        if key is not None:
            yield from _with_parts(_sections(section.get(key), ("*",), (*path, key)))


def _replaced(values: Any, path: KeyPath, new: Any) -> Any:
    if not path:
        return new
    copy = dict(values) if isinstance(values, Mapping) else list(values)
    copy[path[0]] = _replaced(values[path[0]], path[1:], new)  # type: ignore[index]
    return copy


def name_key(path: KeyPath) -> str:
    """The key of a section that names a class."""
    return NAME_KEYS.get(_in_method(path), "class_name")


def _in_method(path: KeyPath) -> KeyPath:
    """A path in a phase as it is outside of schedules; any other path as it is."""
    return path[len(PHASE) :] if path[:1] == PHASE[:1] else path


def _settings(path: KeyPath, section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without the keys that are not settings of what it names, and with numbers for percentiles."""
    path = _in_method(path)
    settings = {key: value for key, value in section.items() if key not in _not_settings(path)}
    if path == OBJECTIVE and "score_threshold" in settings:
        settings["score_threshold"] = 0.0  # `phf.config.derive` checks what is written
    return _with_stand_ins(settings) if path[:2] in MAY_BE_PERCENTILES else settings


def _not_settings(path: KeyPath) -> Collection[str]:
    """Keys of a section besides the name that are not settings of its class."""
    return OF_A_PREFERENCE if path[:3] == (*CONDITIONING, PREFERENCES) else NOT_SETTINGS.get(path, ())


def _with_stand_ins(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_stand_ins(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_stand_ins(inner) for inner in value]
    percentile = percentile_of(value)
    return value if percentile is None else percentile / 100
