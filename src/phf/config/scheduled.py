"""From a schedule as it is written to phases that say everything themselves, each checked like a configuration of its own.

A phase is its method's file, on top of the task's, with its own sections on top of that. All else (the model, the optimiser,
what is measured) belongs to the run and must be the same in all phases.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from phf.config.differences import differences
from phf.config.layers import apply_override, merge, origin_of
from phf.config.named import KeyPath
from phf.config.percentile import parse_threshold
from phf.config.phases import KEY, WrittenPhase, is_schedule, written_phases
from phf.config.released import take_spelled_out
from phf.config.schema import Config, PhaseConfig
from phf.config.schema.schedule import DATASET_KEYS
from phf.errors import ConfigError
from phf.registry.nearest import did_you_mean

Layer = tuple[str, dict[str, Any]]
"""Origin, and sections."""
OF_METHODS: tuple[KeyPath, ...] = (("objective",), *(("dataset", key) for key in DATASET_KEYS))
"""What a phase has of its own; outside of the schedule, it follows from the phases."""
LABELS = ("task", "size", "method")
CAN_BE_PHASES = (
    "Methods without a value head can follow one another (mle, filtering, conditional, quantiles, masking, hiding, ul, rwr), "
    "those with control tokens only if they have the same ones, which conditional and quantiles do not. AWR with a value head "
    "can only follow itself, with other settings."
)


def with_phases(
    merged: Mapping[str, Any],
    base: Sequence[Layer],
    own: Sequence[Layer],
    overrides: Sequence[str],
    origins: Mapping[KeyPath, str],
    read_method: Callable[[str], Layer],
    resolve: Callable[[dict[str, Any], Mapping[KeyPath, str]], Config],
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Plain values of a run with a schedule, in which each phase says everything, and their origins.

    Args:
        merged: all layers and overrides, merged; its schedule is as it was written.
        base: what each phase begins with: the task.
        own: what goes on top of each phase: the file that has the schedule.
        read_method: reads the file of a method by its name.
        resolve: makes and checks a configuration.

    Raises `ConfigError` for phases that do not cover the run once, that are not methods, or that need different runs.
    """
    where = origin_of((KEY,), origins)
    for override in overrides:
        _refuse_of_method(override)
    for origin, layer in own:
        if written := [path for path in OF_METHODS if _get(layer, path) is not None]:
            raise ConfigError(
                f"{origin}: {'.'.join(map(str, written[0]))} is set beside a schedule. Set it in a phase: schedule.0."
                f"{'.'.join(map(str, written[0]))}."
            )
    phases: list[dict[str, Any]] = []
    of_run: list[tuple[str, dict[str, Any], dict[KeyPath, str]]] = []
    for phase in written_phases(merged[KEY], where):
        layers = [*base, *_method_layers(phase, read_method), (phase.where, phase.sections), *own]
        for until, name, move in phase.stages():
            values, its_origins = _merged(layers, overrides, phase, move)
            plain = deepcopy(values)
            try:
                config = resolve(values, its_origins)
            except ConfigError as error:
                raise ConfigError(f"{phase.where} ('{name}'): {error}") from None
            if move is not None:
                _check_moved(config, phase)
            dumped = config.model_dump()
            dataset = {key: dumped["dataset"][key] for key in DATASET_KEYS}
            phases.append({"until": until, "name": name, "dataset": dataset, "objective": dumped["objective"]})
            take_spelled_out(plain)
            of_run.append((name, _without_method(plain), its_origins))
    _refuse_different_runs(of_run, where)
    _refuse_different_tokens(phases, where)
    _, values, its_origins = of_run[0]
    labels = {key: merged[key] for key in LABELS if merged.get(key) is not None}
    derived = prompted([PhaseConfig.model_validate(phase) for phase in phases])
    _refuse_contradiction(merged, derived, base, where)
    dataset = {**(values.get("dataset") or {}), **derived["dataset"]}
    its_origins[(KEY,)] = where
    return {**values, **labels, "dataset": dataset, "objective": derived["objective"], KEY: phases}, its_origins


def prompted(phases: Sequence[PhaseConfig]) -> dict[str, Any]:
    """What the phases make of the sections `dataset` and `objective` of the run, as plain values: those of the last phase, but
    the control tokens are those of the last phase that has any, since the trained model is prompted with them."""
    last = phases[-1]
    tagged = next((phase for phase in reversed(phases) if phase.dataset.tagging is not None), last)
    dataset = last.dataset.model_dump()
    tagging = tagged.dataset.model_dump(include={"conditional_training_config", "conditioning"})
    return {"dataset": {**dataset, **tagging}, "objective": last.objective}


def _method_layers(phase: WrittenPhase, read_method: Callable[[str], Layer]) -> list[Layer]:
    if phase.method is None:
        return []
    try:
        origin, layer = read_method(phase.method)
    except ConfigError as error:
        raise ConfigError(f"{phase.where}.method: {str(error).removeprefix('--method ')}") from None
    if is_schedule(layer):
        raise ConfigError(
            f"{phase.where}.method: {phase.method} has a schedule itself; list the methods of its phases instead."
        )
    return [(origin, layer)]


def _merged(
    layers: Sequence[Layer], overrides: Sequence[str], phase: WrittenPhase, move: str | None
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    values: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    for origin, layer in layers:
        values = merge(values, {key: deepcopy(layer[key]) for key in layer if key != KEY}, origin, origins)
    if move is not None:
        try:
            apply_override(values, move, origins)
        except ConfigError as error:
            raise ConfigError(str(error).replace("--override", f"{phase.where}.anneal:", 1)) from None
        for path in [path for path, origin in origins.items() if origin == f"--override {move}"]:
            origins[path] = f"{phase.where}.anneal"
    for override in overrides:
        if override.partition("=")[0].strip().partition(".")[0] != KEY:
            apply_override(values, override, origins)
    return values, origins


def _check_moved(config: Config, phase: WrittenPhase) -> None:
    """Raises `ConfigError` if what moves is not a number of the phase's method."""
    assert phase.anneal is not None
    values = config.model_dump(include={"dataset": set(DATASET_KEYS), "objective": True})
    known = sorted(_numbers(values, ""))
    if phase.anneal.key not in known:
        raise ConfigError(
            f"{phase.where}.anneal.key is '{phase.anneal.key}', which is not a number that '{phase.name}' has. "
            f"{did_you_mean(phase.anneal.key, known)}"
        )


def _numbers(value: Any, key: str) -> list[str]:
    """The keys of the numbers and percentiles in a section."""
    if isinstance(value, dict):
        return [number for name, inner in value.items() for number in _numbers(inner, f"{key}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [number for place, inner in enumerate(value) for number in _numbers(inner, f"{key}.{place}")]
    try:
        return [] if value is None or parse_threshold(value) is None else [key]
    except ValueError:
        return []


def _refuse_of_method(override: str) -> None:
    keys = override.partition("=")[0].strip().split(".")
    if keys == ["dataset"] or any(tuple(keys[: len(path)]) == path for path in OF_METHODS):
        raise ConfigError(
            f"--override {override}: the run has a schedule, and each phase has its own {'.'.join(keys[:2])}. Set it in a "
            f"phase: --override schedule.0.{override}"
        )


def _refuse_different_runs(of_run: Sequence[tuple[str, dict[str, Any], Any]], where: str) -> None:
    first, values, _ = of_run[0]
    for name, other, _ in of_run[1:]:
        if differing := differences(values, other):
            raise ConfigError(
                f"{where}: {KEY}: '{first}' and '{name}' need different models or runs: {differing}. All phases train one "
                f"model in one run. {CAN_BE_PHASES} Other keys that differ can be set for all phases, beside the schedule "
                "or with --override."
            )


def _refuse_different_tokens(phases: Sequence[Mapping[str, Any]], where: str) -> None:
    tagged = [(phase["name"], tokens) for phase in phases if (tokens := _tokens(phase)) is not None]
    for name, tokens in tagged[1:]:
        if tokens != tagged[0][1]:
            raise ConfigError(
                f"{where}: {KEY}: '{tagged[0][0]}' has the control tokens {', '.join(tagged[0][1])} and '{name}' has "
                f"{', '.join(tokens)}: a model has one set of control tokens, from the start. {CAN_BE_PHASES}"
            )


def _tokens(phase: Mapping[str, Any]) -> list[str] | None:
    tagging = PhaseConfig.model_validate(phase).dataset.tagging
    return None if tagging is None else tagging.control_tokens


def _refuse_contradiction(
    merged: Mapping[str, Any], derived: Mapping[str, Any], base: Sequence[Layer], where: str
) -> None:
    """Raises `ConfigError` where a whole file says something else of the run than its phases; a task may have a method."""
    for path in OF_METHODS:
        written = _get(merged, path)
        is_of_task = any(_get(layer, path) == written for _, layer in base)
        if written is not None and not is_of_task and written != _get(derived, path):
            key = ".".join(map(str, path))
            raise ConfigError(
                f"{where}: {key} is not what the schedule makes of it, {_get(derived, path)}. Leave it out: with a "
                f"schedule, it follows from the phases (schedule.0.{key})."
            )


def _without_method(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what belongs to a method, and without labels."""
    kept = {key: value for key, value in values.items() if key not in ("objective", *LABELS)}
    if isinstance(kept.get("dataset"), dict):
        kept["dataset"] = {key: value for key, value in kept["dataset"].items() if key not in DATASET_KEYS}
    return kept


def _get(values: Any, path: KeyPath) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
