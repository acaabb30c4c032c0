"""The shapes of redteam.json and replay.json, as far as they are shown again, for `phf.storage.reading`."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from phf.storage.shapes import Count, Number


def _with(*keys: str) -> AfterValidator:
    """Of a mapping to numbers: these keys are there, and those that begin with `num_` are whole numbers."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        for key in keys:
            if key not in values or (key.startswith("num_") and type(values[key]) is not int):
                raise PydanticCustomError("number_missing", "a number was expected as '{key}'", {"key": key})
        return values

    return AfterValidator(check)


def _intervals(*keys: str) -> list[str]:
    return [key + end for key in keys for end in ("", "_low", "_high")]


ROUND_MEANS = ("best", "best_fresh", "best_10", "best_100", "pool_mean", "round_mean")
RESCORED_MEANS = ("rescored_best", "rescored_best_10", "rescored_initial_best", "rescored_gain")


class FoundPrompt(TypedDict):
    """A prompt in redteam.json."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    prompt: str
    mean: Number | None
    rescored: Number | None
    rescored_low: Number | None
    rescored_high: Number | None
    prompt_score: Number | None


class SearchResult(TypedDict):
    """redteam.json: the part of it that is shown."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    rounds: list[Annotated[dict[str, Number | None], _with("num_prompts", "num_unscored", *_intervals(*ROUND_MEANS))]]
    rescored: Annotated[dict[str, Number | None], _with(*_intervals(*RESCORED_MEANS))]
    rejected: dict[str, Count]
    prompts: list[FoundPrompt]


class ReplayedPrompt(TypedDict):
    """A prompt in replay.json."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    prompt: str
    then: Number | None
    now: Number | None
    difference: Number | None
    difference_low: Number | None
    difference_high: Number | None


class ReplayResult(TypedDict):
    """replay.json: the part of it that is shown and compared."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    then: Number | None
    now: Number | None
    overall: Number | None
    overall_low: Number | None
    overall_high: Number | None
    num_prompts: Count
    num_left_out: Count
    num_unscored: Count
    num_worse: Count
    num_better: Count
    prompts: list[ReplayedPrompt]
    notes: list[str]
