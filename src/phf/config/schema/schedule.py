"""The key `schedule`: which part of a run is trained with which method."""

from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SerializerFunctionWrapHandler, WrapSerializer
from pydantic_core import PydanticCustomError

from phf.config.percentile import Threshold
from phf.config.schema.dataset import ConditionalTrainingConfig, ConditioningConfig
from phf.config.schema.section import Section

ALWAYS = "always"
"""The schedule of a run that is trained with one method, which its own sections describe."""
DATASET_KEYS = (
    "filter_threshold",
    "document_filter",
    "conditional_training_config",
    "conditioning",
    "hidden_threshold",
)
"""Keys of `dataset` that belong to a method; the whole section `objective` does too."""


class PhaseDataset(Section):
    """The keys of the section `dataset` that belong to a method, for one phase; they are documented there."""

    filter_threshold: Threshold | None = None
    document_filter: dict[str, Any] | None = None
    conditional_training_config: ConditionalTrainingConfig | None = None
    conditioning: ConditioningConfig | None = None
    hidden_threshold: Threshold | None = None

    @property
    def tagging(self) -> ConditionalTrainingConfig | ConditioningConfig | None:
        """The section on control tokens; None without conditional training."""
        return self.conditional_training_config or self.conditioning


class PhaseConfig(Section):
    """A part of a run, from the end of the phase before it, and how scores are used in it."""

    until: float = Field(gt=0, le=1)
    """Share of the run's tokens, in (0, 1], at which the phase ends."""
    name: str = Field(min_length=1)
    """What reports call it: its method."""
    dataset: PhaseDataset = PhaseDataset()
    objective: dict[str, Any] = {"name": "MLE"}


def _phases(schedule: Any) -> Any:
    if schedule == ALWAYS:
        return []
    if not isinstance(schedule, list) or not schedule:
        message = "write always, or a list of phases such as [{until: 0.2, method: mle}, {method: conditional}]"
        raise PydanticCustomError("schedule", message)
    return schedule


def _covering(phases: list[PhaseConfig]) -> list[PhaseConfig]:
    ends = [0.0, *(phase.until for phase in phases)]
    if phases and (ends[-1] != 1 or any(start >= end for start, end in pairwise(ends))):
        message = "each phase must end later than the one before it, and the last one at 1"
        raise PydanticCustomError("schedule", message)
    return phases


def _written(phases: Any, handler: SerializerFunctionWrapHandler) -> Any:
    return handler(phases) or ALWAYS


Phases = Annotated[
    list[PhaseConfig], BeforeValidator(_phases), AfterValidator(_covering), WrapSerializer(_written, return_type=Any)
]
"""The phases of a run in their order; none where one method applies from the first step to the last (`always`)."""
