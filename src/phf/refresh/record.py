"""round.json: what a finished round made, from which the refresh continues and the answer is written."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from phf.errors import OutputError
from phf.runs.writer import write_json
from phf.statistics import Interval
from phf.storage.reading import read_json_as
from phf.storage.shapes import Count, Number

ROUND = "round.json"
ADVICE = "Delete it to repeat the round."


class SampleCounts(TypedDict):
    """The samples that a round was trained on."""

    drawn: Count
    used: Count
    left_out: dict[str, Count]
    """Reason -> number of samples."""
    unscored_reasons: dict[str, Count]
    """The scorer's reasons -> number of segments."""
    cut_off: Count
    """Samples that the model did not end itself."""
    score: Annotated[list[Number | None], Field(min_length=3, max_length=3)]
    """Mean over the scored samples of the mean score of their segments, with its 95% interval."""


class TrainingFacts(TypedDict):
    """What a round was trained on."""

    sample_tokens: Count
    """Tokens of text."""
    own_tokens: Count
    own_documents: Count
    share: Number
    """Of tokens of text that are from samples."""
    next_place: Count
    """In the order of the run's own documents, where the next round continues."""
    steps: Count
    tokens: Count
    """All tokens trained on, control tokens included."""
    learning_rate: Number


class DataRecord(TypedDict):
    """data.json: the data of a round, before it is trained on."""

    samples: SampleCounts
    training: TrainingFacts


class RoundRecord(TypedDict):
    """A finished round; of round 0, the start, only the numbers."""

    round: Count
    numbers: dict[str, Number | None]
    """As in metrics.jsonl."""
    samples: SampleCounts | None
    training: TrainingFacts | None


def read_record(folder: Path, number: int) -> RoundRecord | None:
    """The record of a round that has finished; None of one that has not. Raises `OutputError` for one that is damaged."""
    path = folder / ROUND
    if not path.is_file():
        return None
    record: RoundRecord = read_json_as(RoundRecord, path, OutputError, ADVICE)
    if record["round"] != number:
        raise OutputError(f"{path}: 'round' is {record['round']}; {number} was expected. {ADVICE}")
    if number and (record["samples"] is None or record["training"] is None):
        raise OutputError(f"{path}: 'samples' or 'training' is null, which only those of the start are. {ADVICE}")
    return record


def write_record(folder: Path, record: RoundRecord) -> None:
    """Written last, so a round that has one is finished."""
    write_json(folder / ROUND, record)


def interval_of(record: RoundRecord, key: str) -> Interval:
    """A number of a round with its interval; NaN for what was not measured or is not known."""
    values: list[Any] = [record["numbers"].get(f"{key}{end}") for end in ("", "_low", "_high")]
    return Interval(*(float("nan") if value is None else float(value) for value in values))
