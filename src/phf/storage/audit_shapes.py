"""The shape of what the report shows of audit.json, for `phf.storage.reading`."""

from typing import Any, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from phf.storage.shapes import Count, Number


class TracedCommon(TypedDict):
    """What a segment has in common with a sample."""

    num_tokens: Count
    start: Count
    end: Count


class TracedNeighbour(TypedDict):
    """A segment that is like a sample."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    text: str
    score: Number | None
    document: str
    overlap: Number | None
    hidden: Number
    gradient: Number | None
    common: NotRequired[TracedCommon]


class TracedDetection(TypedDict):
    """What the scorer detected in a sample."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    start: Count
    end: Count
    label: str
    text: str
    occurrences: Count | None
    document: str | None


class TracedLongest(TypedDict):
    """The longest span of a sample that a segment has verbatim."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    num_tokens: Count
    start: Count | None
    end: Count | None
    text: str
    occurrences: Count
    document: str


class Traced(TypedDict):
    """Where a sample comes from. Earlier versions wrote less."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    scenario: str
    number: NotRequired[Count]
    score: Number | None
    prompt: str
    text: str
    longest: NotRequired[TracedLongest | None]
    detections: NotRequired[list[TracedDetection]]
    neighbours: list[TracedNeighbour]


class TrainingDataOfAudit(TypedDict):
    """Whether the dataset is what the model was trained on."""

    is_trained_on: bool | None
    is_whole: bool
    sentence: str


class TracedFile(TypedDict):
    """The part of audit.json that the report shows."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    settings: dict[str, Any]
    training_data: NotRequired[TrainingDataOfAudit]
    samples_of: NotRequired[str | None]
    origins: NotRequired[list[Traced]]
