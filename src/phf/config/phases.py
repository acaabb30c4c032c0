"""A schedule as it is written, checked: `[{until: 0.2, method: mle}, {method: conditional}]`, with settings that move."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config.percentile import percentile_of
from phf.config.schema.schedule import ALWAYS, DATASET_KEYS
from phf.errors import ConfigError
from phf.registry.nearest import did_you_mean
from phf.storage.reading import short

KEY = "schedule"
PHASE_KEYS = ("from", "until", "method", "name", "dataset", "objective", "anneal")
ANNEAL_KEYS = ("key", "from", "to", "stages")
MOST_STAGES = 100


@dataclass(frozen=True)
class Anneal:
    """A setting that moves in equal stages while a phase lasts."""

    key: str
    """Dotted, in the sections of the phase."""
    values: tuple[float | str, ...]
    """One for each stage: numbers, or percentiles."""


@dataclass(frozen=True)
class WrittenPhase:
    """A phase as a file has it."""

    where: str
    """What errors begin with: file and key."""
    start: float
    until: float
    name: str
    method: str | None
    """Name or path of a method file; None: its sections say everything."""
    sections: dict[str, Any]
    """Its own `dataset` and `objective`, on top of those of the method."""
    anneal: Anneal | None

    def stages(self) -> Iterator[tuple[float, str, str | None]]:
        """(end, name, override) of each part of the phase; a phase in which nothing moves has one, without override."""
        if self.anneal is None:
            yield self.until, self.name, None
            return
        key, values = self.anneal.key, self.anneal.values
        for number, value in enumerate(values, 1):
            share = number / len(values)
            end = self.until if number == len(values) else round(self.start + share * (self.until - self.start), 9)
            yield end, f"{self.name} ({key.rpartition('.')[2]} {_shown(value)})", f"{key}={_shown(value)}"


def is_schedule(values: Mapping[str, Any]) -> bool:
    """Whether plain values of a configuration have phases, well-formed or not."""
    return values.get(KEY, ALWAYS) != ALWAYS


def written_phases(schedule: Any, origin: str) -> list[WrittenPhase]:
    """The phases of the key `schedule`, which `origin` has. They cover the run once.

    Raises `ConfigError` for phases that overlap, leave a gap or end after the run, and for keys that they do not have.
    """
    where = f"{origin}: {KEY}"
    if not isinstance(schedule, list) or not schedule:
        raise ConfigError(
            f"{where} is {short(repr(schedule))}: write {ALWAYS}, or a list of phases such as "
            "[{until: 0.2, method: mle}, {method: conditional}]."
        )
    phases: list[WrittenPhase] = []
    for number, phase in enumerate(schedule):
        start = phases[-1].until if phases else 0.0
        phases.append(_phase(phase, f"{where}.{number}", start, number, is_last=number == len(schedule) - 1))
    return phases


def _phase(phase: Any, where: str, start: float, number: int, *, is_last: bool) -> WrittenPhase:
    if not isinstance(phase, dict):
        raise ConfigError(f"{where} is {short(repr(phase))}; a phase is a mapping such as {{until: 0.2, method: mle}}.")
    _refuse_unknown(phase, PHASE_KEYS, where)
    until = _until(phase, where, start, is_last=is_last)
    method, sections = phase.get("method"), {key: phase[key] for key in ("dataset", "objective") if key in phase}
    if method is not None and not isinstance(method, str):
        raise ConfigError(f"{where}.method is {short(repr(method))}; it must be the name of a method or a .yml file.")
    if method is None and not sections:
        raise ConfigError(f"{where}: has no method. Set one, such as method: mle.")
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise ConfigError(f"{where}.{key} is {short(repr(section))}; it must be a section.")
    for key in sections.get("dataset", ()):
        if key not in DATASET_KEYS:
            raise ConfigError(
                f"{where}.dataset.{key} cannot change while a run lasts. What can: {', '.join(DATASET_KEYS)} and the "
                "section objective."
            )
    called = Path(method).stem if method is not None and method.endswith((".yml", ".yaml")) else method
    name = phase.get("name", called or f"phase {number + 1}")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}.name is {short(repr(name))}; it must be text.")
    anneal = _anneal(phase["anneal"], f"{where}.anneal") if phase.get("anneal") is not None else None
    return WrittenPhase(where, start, until, name, method, sections, anneal)


def _until(phase: Mapping[str, Any], where: str, start: float, *, is_last: bool) -> float:
    begins = start if phase.get("from") is None else _share(phase["from"], f"{where}.from")
    if begins != start:
        before = "the run begins at 0" if start == 0 else f"the phase before ends at {start:g}"
        fault = "the two overlap" if begins < start else f"nothing would be trained from {start:g} to {begins:g}"
        raise ConfigError(
            f"{where}.from is {begins:g}, but {before}: {fault}. Leave `from` out, or set it to {start:g}."
        )
    if start == 1:
        raise ConfigError(
            f"{where}: the phase before ends at 1, the end of the run, so nothing is left. Remove one of the two."
        )
    if phase.get("until") is None:
        if not is_last:
            raise ConfigError(f"{where}: has no `until`. Only the last phase may leave it out: it lasts until the end.")
        return 1.0
    until = _share(phase["until"], f"{where}.until")
    if until > 1:
        raise ConfigError(
            f"{where}.until is {until:g}, which is after the end of the run: it is a share of the run's tokens, at most 1."
        )
    if until <= start:
        raise ConfigError(
            f"{where}.until is {until:g}, but the phase before it ends at {start:g}: they overlap. Each phase must end later "
            "than the one before it."
            if start
            else f"{where}.until is {until:g}; it must be greater than 0, since a phase ends after it begins."
        )
    if is_last and until != 1:
        raise ConfigError(
            f"{where}.until is {until:g}, but no phase follows, so nothing would be trained from there to the end. Leave "
            "`until` out of the last phase, or add another one."
        )
    return until


def _share(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{where} is {short(repr(value))}; it must be a share of the run's tokens, from 0 to 1.")
    return float(value)


def _anneal(section: Any, where: str) -> Anneal:
    if not isinstance(section, dict):
        raise ConfigError(f"{where} is {short(repr(section))}; it must be a mapping with {', '.join(ANNEAL_KEYS)}.")
    _refuse_unknown(section, ANNEAL_KEYS, where)
    for key in ANNEAL_KEYS:
        if section.get(key) is None:
            raise ConfigError(f"{where}: '{key}' is missing. It needs {', '.join(ANNEAL_KEYS)}.")
    key, stages = section["key"], section["stages"]
    if not isinstance(key, str) or not key:
        raise ConfigError(f"{where}.key is {short(repr(key))}; it must be a key such as objective.score_threshold.")
    if isinstance(stages, bool) or not isinstance(stages, int) or not 2 <= stages <= MOST_STAGES:
        raise ConfigError(
            f"{where}.stages is {short(repr(stages))}; it must be a whole number from 2 to {MOST_STAGES}."
        )
    return Anneal(key, tuple(_between(section["from"], section["to"], stages, where)))


def _between(first: Any, last: Any, count: int, where: str) -> Sequence[float | str]:
    """Evenly spaced values: between numbers, or between percentiles."""
    ends = [percentile_of(first), percentile_of(last)]
    are_percentiles = None not in ends
    if not are_percentiles:
        ends = [_number(first), _number(last)]
    if ends[0] is None or ends[1] is None:
        raise ConfigError(
            f"{where} moves from {short(repr(first))} to {short(repr(last))}; both must be numbers, or both percentiles of "
            "the training data such as p90."
        )
    start, step = ends[0], (ends[1] - ends[0]) / (count - 1)
    if not math.isfinite(step):
        raise ConfigError(
            f"{where} moves from {start:g} to {ends[1]:g}, which are too far apart for a number to be between them. Choose "
            "numbers nearer to each other."
        )
    numbers = [float(f"{start + step * index:.9g}") for index in range(count)]
    values = [f"p{number:g}" for number in numbers] if are_percentiles else numbers
    if len(set(values)) < count:
        raise ConfigError(
            f"{where} moves from {short(repr(first))} to {short(repr(last))} in {count} stages, of which some would have the "
            "same value, so nothing would move between them. Choose values further apart or fewer stages, or leave `anneal` "
            "out."
        )
    return values


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.9g}"


def _refuse_unknown(section: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{short(str(key))}'. {did_you_mean(str(key), known)}")
