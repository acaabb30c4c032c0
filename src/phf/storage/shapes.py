"""The shapes of the files of a run folder, for `phf.storage.reading`: with finite numbers and real text."""

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict


def _finite(value: Any) -> Any:
    if type(value) not in (int, float) or not -MAX_NUMBER < value < MAX_NUMBER:
        raise PydanticCustomError("finite_number", "a finite number was expected")
    return value


MAX_NUMBER = 1e300
"""Largest absolute value: squares and sums of larger ones are infinite."""
MAX_COUNT = 2**63 - 1
Number = Annotated[float, PlainValidator(_finite)]
"""A finite number, integer or float; true and "1" are not."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Metrics = dict[str, Number | None]
"""A line of metrics.jsonl: step, tokens_seen and flat numbers."""


class Shard(TypedDict):
    """One of the shards that the manifest of an annotated dataset lists."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: Annotated[str, Field(pattern=r"^[\w.-]+\.parquet$")]
    sha256: str
    num_documents: Count
    num_bytes: NotRequired[Count]


class DescribedScorer(TypedDict):
    """A scorer in the manifest of an annotated dataset."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    class_name: str
    version: str
    settings: dict[str, Any]


class ManifestParts(TypedDict):
    """The parts of a manifest whose types its dataclass does not spell out."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    num_documents: Count
    num_segments: Count
    num_unscored: Count
    scorer: DescribedScorer
    scorers: NotRequired[dict[str, DescribedScorer]]
    unscored_reasons: NotRequired[dict[str, Count]]
    shards: NotRequired[list[Shard]]
    num_duplicate_ids: NotRequired[Count]
    shard_bytes: NotRequired[Count]


class NamedFiles(TypedDict):
    """Files that were not read, and the first of them."""

    count: Count
    files: list[str]


class BadRow(TypedDict):
    """A row that was not read."""

    where: str
    reason: str


class BadRows(TypedDict):
    """Rows that were not read, and the first of them."""

    count: Count
    rows: list[BadRow]


class NotesParts(TypedDict):
    """What was not read of a corpus, beside the counts of a shard or a piece."""

    left_out: dict[str, NamedFiles]
    skipped: BadRows


CursorParts = Annotated[list[int], Field(min_length=4, max_length=4)]
"""A place in a part of a corpus, as `phf.annotate.corpus_piece.Cursor`."""


class Span(TypedDict):
    """One detection of a scorer."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    start: Count
    end: Count
    label: str


class Sample(TypedDict):
    """A line of samples/<scenario>.jsonl."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    step: Count
    prompt: str
    continuation: str
    score: Number | None
    segments: list[str]
    segment_scores: list[Number | None]
    segment_spans: NotRequired[list[list[Span]]]
    """Detections in each segment, with offsets from its start."""


class ScheduledPhase(TypedDict):
    """A part of a run that was trained with one method."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: str
    from_tokens: Count
    """Tokens seen when it begins."""
    until_tokens: Count


class Hardware(TypedDict, total=False):
    """The machine of a run."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    gpus: list[str] | None
    cpu: str | None


class Provenance(TypedDict, total=False):
    """The part of provenance.json that is used; the rest of it is shown unchanged."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    method: str | None
    task: str | None
    max_steps: Count | None
    threshold: Number | None
    dataset: list[dict[str, Any]] | None
    choices: dict[str, Any] | None
    """What a run chose by its hardware."""
    schedule: list[ScheduledPhase] | None
    hardware: Hardware | None
    versions: dict[str, Any] | None
    percentiles: dict[str, Any] | None


class PromptingFile(TypedDict):
    """phf.json of an exported model: how it is prompted."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    control_tokens: list[Annotated[str, Field(min_length=1)]] | None
    tag_every_segment_when_sampling: bool
    threshold: NotRequired[Number | None]
    conditioning: NotRequired[dict[str, Any] | None]
    document_start: NotRequired[Annotated[list[str], Field(min_length=1)]]
    preferred: NotRequired[str | None]
    placement: NotRequired[str]


class EvaluationFile(TypedDict):
    """evaluation.json: the parts of an evaluation that are done."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    identity: NotRequired[str]
    """What version 0.1 kept instead of `job`."""
    job: NotRequired[dict[str, Any]]
    """The model, and the settings that are not in config.yaml."""
    parts: dict[str, Metrics]


class GlueLine(TypedDict):
    """A line of glue.jsonl: one finetuning."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    task: str
    seed: Count
    metrics: Metrics


class RecentLosses(TypedDict):
    """The losses that a step's loss is compared with, in a checkpoint."""

    losses: list[Number]


class SpikeLine(TypedDict):
    """A line of spikes.jsonl."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    step: Count
    documents: list[str] | None
    document_keys: NotRequired[list[Annotated[list[int], Field(min_length=2, max_length=2)]]]


def _of_total(values: Any) -> Any:
    if not isinstance(values, list) or len(values) != 2 or not 0 <= _finite(values[1]) <= MAX_COUNT:
        raise PydanticCustomError("total", "a list of a number and a count was expected")
    return [_finite(values[0]), values[1]]


class LogWindow(TypedDict):
    """The sums of the steps since the last line of the log, in a checkpoint."""

    since: Count
    loss: Number
    totals: dict[str, Annotated[list[Number], PlainValidator(_of_total)]]
    listed: NotRequired[bool]
    """Whether the checkpoint has a list of its files, written after this one."""


class ListedFile(TypedDict):
    """A file as it was written."""

    bytes: Count
    sha256: str


class FileList(TypedDict):
    """files.json of a checkpoint: path in the folder -> the file."""

    files: dict[str, ListedFile]


class TrainerState(TypedDict):
    """The part of a checkpoint's trainer_state.json that is used."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    global_step: Count
    log_history: list[dict[str, Any]]
    train_batch_size: Count
    stateful_callbacks: dict[str, dict[str, Any]]


class RoundFile(TypedDict):
    """A file of rounds/ that an unfinished red-team search left behind."""

    rejected: dict[str, Count]
    entries: list[dict[str, Any]]


class SearchFile(TypedDict):
    """redteam.json: the part of it that studies read."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    trials: list[dict[str, list[Number | None]]]
    """Of each trial: name of a number -> its value after each round, the initial one first."""


class HeldOutScenario(TypedDict):
    """What a held-out scorer gave the samples of a scenario."""

    texts_sha256: str
    """Of the JSON list of the texts that were scored."""
    scores: list[Number | None]


class HeldOutScores(TypedDict):
    """A file of held-out-scorers/ in the folder of a study."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    scenarios: dict[str, HeldOutScenario]


class PoolLine(TypedDict):
    """A line of pool.jsonl."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    prompt: str
    trial: Count
    round: Count
    continuations: list[str]
    scores: list[Number | None]
    prompt_score: NotRequired[Number | None]
    assumed_score: NotRequired[Number | None]
