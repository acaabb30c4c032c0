"""The sections `downstream` and `glue`: public benchmarks that `phf evaluate` runs."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from phf.config.schema.section import Section


class DownstreamConfig(Section):
    """Zero-shot and few-shot tasks of lm-evaluation-harness (extra `eval`)."""

    tasks: list[str] = Field(min_length=1)
    """Names of tasks, groups or tags, such as `lambada_openai` or `hellaswag`, or paths of task files."""
    include_path: str | None = None
    """Folder of your own task files, searched first."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Solved examples before each question. None: the task's own number, or 0. A task that fixes 0 keeps it."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first documents of each task, for a quick look."""
    batch_size: int = Field(default=16, ge=1)
    """Texts in a forward pass; logits take batch_size x length x vocabulary x 8 bytes."""
    allow_code_execution: bool = False
    """Run programs that the model wrote, as `humaneval` does: only where this is safe."""
    seed: int = Field(default=1234, ge=0, lt=2**32)
    """Seed of few-shot examples and of sampling; 1234 draws the examples that lm-evaluation-harness draws."""


GlueTask = Literal["cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"]
T = TypeVar("T")
Rate = Annotated[float, Field(gt=0)]
BatchSize = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _distinct(values: list[T]) -> list[T]:
    """The values, unless one of them is listed twice: its result would count twice in the mean."""
    if len(set(values)) < len(values):
        raise PydanticCustomError("distinct", "one of them is listed twice, so its result would count twice")
    return values


class GlueConfig(Section):
    """Finetuning on tasks of GLUE, measured on their dev sets (extra `eval`)."""

    tasks: Annotated[list[GlueTask], AfterValidator(_distinct)] = Field(
        default=["cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte"], min_length=1
    )
    """Names of tasks."""
    data_dir: str | None = None
    """Folder of `<task>/train.jsonl` and `<task>/validation.jsonl` (mnli: `validation_matched.jsonl` and
    `validation_mismatched.jsonl`) with GLUE's columns. None: `nyu-mll/glue` on the Hub."""
    learning_rate: Rate | dict[GlueTask, Rate] = 5e-5
    """Peak learning rate: one for all tasks, or one for each."""
    batch_size: BatchSize | dict[GlueTask, BatchSize] = 32
    """Examples in an optimiser step, over all processes: one number for all tasks, or one for each."""
    epochs: int = Field(default=6, ge=1)
    """At most this many passes over the training set."""
    patience: int = Field(default=2, ge=1)
    """Stop after this many epochs without a better dev score."""
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] = Field(default=[0, 1, 2], min_length=1)
    """One finetuning each: initialisation of the head, order of the examples, dropout."""
    max_length: int = Field(default=128, ge=8)
    """Tokens of an example, prefix included; longer ones lose their ends."""
