"""When a method applies: which one is in effect at which share of a run."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from phf.config import Config, DatasetConfig
from phf.config.preferences import columns_of
from phf.config.scheduled import CAN_BE_PHASES, prompted
from phf.errors import ConfigError
from phf.feedback.method import Method, method_of
from phf.text import counted

NOT_OF_VIEW = ("loss_on_control_tokens", "tag_every_segment_when_sampling")
"""Settings of control tokens that change no block."""


@dataclass(frozen=True)
class Phase:
    """A part of a run that is trained with one method."""

    until: float
    """Share of the run at which the phase ends, in (0, 1]."""
    method: Method
    name: str = ""
    """What reports call it."""


@dataclass(frozen=True)
class Schedule:
    """The phases of a run, in order; the last one ends at 1."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        ends = [phase.until for phase in self.phases]
        assert ends
        assert ends[-1] == 1
        assert all(start < end for start, end in zip([0.0, *ends], ends, strict=False))

    def at(self, share: float) -> Method:
        """The method in effect when `share` of the steps, in [0, 1], have been made."""
        return next((phase.method for phase in self.phases if share < phase.until), self.phases[-1].method)

    def ends(self, max_steps: int) -> tuple[int, ...]:
        """The step, counted from 1, that ends each phase of a run: the nearest to its share of the tokens.

        Raises `ConfigError` for a phase that would have no step.
        """
        ends = [int(phase.until * max_steps + 0.5) for phase in self.phases]
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if end <= start:
                phase = self.phases[number]
                raise ConfigError(
                    f"schedule.{number} ('{phase.name}', until {phase.until:g}) has none of the run's "
                    f"{counted(max_steps, 'step')}. Make the phase longer, or train for more steps."
                )
        return tuple(ends)

    def check_one_model(self) -> None:
        """Raises `ConfigError` where some phases need a value head and others do not."""
        first, *others = self.phases
        for phase in others:
            if phase.method.objective.uses_values != first.method.objective.uses_values:
                one, other = (first, phase) if first.method.objective.uses_values else (phase, first)
                raise ConfigError(
                    f"schedule: '{one.name}' trains a value head and '{other.name}' has none: they need different models. "
                    f"{CAN_BE_PHASES}"
                )


@dataclass(frozen=True)
class Timetable:
    """The steps of a run at which its phases end. Picklable."""

    ends: tuple[int, ...]
    """Steps made when each phase ends, ascending; the last one is the number of steps of the run."""

    def phase_at(self, num_steps: int) -> int:
        """The number of the phase that the next step belongs to, when so many have been made; at the end, the last one."""
        return min(bisect_right(self.ends, num_steps), len(self.ends) - 1)

    def lines(self, names: Sequence[str], tokens_per_step: int) -> list[str]:
        """What is trained when, a line for each phase."""
        return [
            f"{steps_between(start + 1, end)} ({(end - start) * tokens_per_step:,} tokens): '{name}'"
            for name, start, end in zip(names, (0, *self.ends[:-1]), self.ends, strict=True)
        ]


def steps_between(first: int, last: int) -> str:
    """Steps in words, both included."""
    return f"Step {first:,}" if first == last else f"Steps {first:,} to {last:,}"


def phase_configs(config: Config) -> list[Config]:
    """The configuration of each phase, as if its method were that of the whole run; of a run without phases, its own."""
    if not config.schedule:
        return [config]
    configs = []
    for phase in config.schedule:
        own = {key: getattr(phase.dataset, key) for key in type(phase.dataset).model_fields}
        update = {"dataset": config.dataset.model_copy(update=own), "objective": phase.objective, "schedule": []}
        configs.append(config.model_copy(update=update))
    return configs


def hides_segments(config: Config) -> bool:
    """Whether any phase hides segments from what follows them."""
    return any(own.dataset.hidden_threshold is not None for own in phase_configs(config))


def score_columns(config: Config) -> dict[str, str]:
    """Column of scores that a run needs -> the key that names it; that of `dataset.scores_column` first."""
    columns: dict[str, str] = {}
    for number, own in enumerate(phase_configs(config)):
        for column, key in columns_of(own.dataset).items():
            is_of_phase = bool(config.schedule) and column != own.dataset.scores_column
            columns.setdefault(column, f"schedule.{number}.{key}" if is_of_phase else key)
    return columns


def first_with_same_view(config: Config) -> list[int]:
    """For each phase, the number of the first one that makes the same of the corpus."""
    views = [_of_view(own.dataset) for own in phase_configs(config)]
    return [views.index(view) for view in views]


def phases_that_became_same(config: Config, configs: Sequence[Config]) -> list[str]:
    """A sentence for each row of phases that differ as written, with percentiles, and do not with numbers in their place.

    Args:
        config: with percentiles.
        configs: of its phases, with numbers.
    """
    sentences = []
    rows = zip(config.schedule, phase_configs(config), configs, strict=False)
    for _, group in groupby(rows, lambda row: (row[2].dataset, row[2].objective)):
        phases, written, _ = zip(*group, strict=True)
        if any((own.dataset, own.objective) != (written[0].dataset, written[0].objective) for own in written):
            sentences.append(
                f"schedule: {', '.join(repr(phase.name) for phase in phases)} are the same, because many scores of the "
                "training data are equal: nothing changes from one to the next"
            )
    return sentences


def _of_view(dataset: DatasetConfig) -> dict[str, Any]:
    """A section without what only prompting and the loss use."""
    values = dataset.model_dump()
    for key in ("conditional_training_config", "conditioning"):
        if values[key] is not None:
            values[key] = {name: value for name, value in values[key].items() if name not in NOT_OF_VIEW}
    return values


def with_phase_configs(config: Config, configs: list[Config]) -> Config:
    """The inverse of `phase_configs`: the configuration with the methods of these, and what follows from them."""
    if not config.schedule:
        return configs[0]
    phases = [
        phase.model_copy(
            update={
                "dataset": phase.dataset.model_copy(
                    update={key: getattr(own.dataset, key) for key in type(phase.dataset).model_fields}
                ),
                "objective": own.objective,
            }
        )
        for phase, own in zip(config.schedule, configs, strict=True)
    ]
    follows = prompted(phases)
    dataset = DatasetConfig.model_validate({**config.dataset.model_dump(), **follows["dataset"]})
    return config.model_copy(update={"dataset": dataset, "objective": follows["objective"], "schedule": phases})


def schedule_of(config: Config, method: Callable[[Config], Method] = method_of) -> Schedule:
    """What the key `schedule` describes: its phases, or the configuration's method for the whole run.

    `method`: makes the method of a phase from its configuration. Raises as it does.
    """
    configs = phase_configs(config)
    if not config.schedule:
        return Schedule((Phase(1.0, method(config), config.method or ""),))
    return Schedule(
        tuple(Phase(phase.until, method(own), phase.name) for phase, own in zip(config.schedule, configs, strict=True))
    )


def methods_of(config: Config, method: Callable[[Config], Method] = method_of) -> tuple[Method, Schedule]:
    """(how the trained model is prompted and evaluated, what the phases train with); one and the same without a schedule."""
    schedule = schedule_of(config, method)
    return method(config) if config.schedule else schedule.phases[0].method, schedule
