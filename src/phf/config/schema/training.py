"""The section `training`."""

from typing import Annotated

from pydantic import ConfigDict, Field

from phf.config.schema.section import Section


class TrainingConfig(Section):
    """Hugging Face `TrainingArguments`, by their own names, and these keys."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    effective_batch_size: int | None = Field(default=None, ge=1)
    """Blocks in an optimiser step, over all processes; gradient accumulation is derived from it."""
    num_tokens: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Tokens to train on, including those already seen; sets max_steps."""
    tokens_already_seen: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Tokens that the model has been trained on before this run."""
    save_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Minutes after which a checkpoint is written, at the end of a step, regardless of save_steps; null: never."""
    spike_deviations: float | None = Field(default=7.0, gt=0, allow_inf_nan=False)
    """A step whose loss is more than this many standard deviations above the mean of the 128 steps before it is reported as a
    loss spike, with its documents; null: spikes are not looked for."""
    tracker_group: str | None = Field(default=None, min_length=1, max_length=128)
    """Group of the run in Weights & Biases; null: its task, size and method, so that seeds are together. $WANDB_RUN_GROUP comes
    first."""
    tracker_tags: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = None
    """Tags of the run in Weights & Biases; null: its task, size and method. $WANDB_TAGS comes first."""
    inspect_steps: int | None = Field(default=1000, ge=1)
    """Steps between inspections of what the model really sees: segments of a few blocks decoded and scored again, what AWR
    weights targets by, the embeddings of control tokens; null: none. Each costs less than an evaluation."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of initialisation, dropout, data order and control-token dropout."""
