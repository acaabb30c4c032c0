"""From the `training` section to `TrainingArguments`, with the arithmetic of batch sizes, steps and tokens."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from phf.config import TrainingConfig
from phf.errors import ConfigError
from phf.models.module import cpu_has_bfloat16
from phf.registry import did_you_mean

NOT_OURS = {
    "output_dir": "the run folder is --output-dir / --run-name",
    "run_name": "the run's name is --run-name",
    "gradient_accumulation_steps": "it follows from effective_batch_size",
    "eval_strategy": "held-out loss is measured with the generation scenarios (generation.every_n_steps)",
}
"""TrainingArguments that follow from something else here."""


@dataclass(frozen=True)
class Arithmetic:
    """How many blocks, steps and tokens a run is."""

    effective_batch_size: int
    """Blocks in an optimiser step."""
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    world_size: int
    max_steps: int
    seq_length: int
    tokens_already_seen: int

    @property
    def tokens_per_step(self) -> int:
        return self.effective_batch_size * self.seq_length

    @property
    def num_samples(self) -> int:
        """Blocks in the whole run."""
        return self.effective_batch_size * self.max_steps

    def tokens_seen(self, step: int) -> int:
        """Tokens the model has been trained on after `step`, those before this run included."""
        return self.tokens_already_seen + step * self.tokens_per_step


def work_out(config: TrainingConfig, seq_length: int, world_size: int) -> Arithmetic:
    """The arithmetic of a run. Raises `ConfigError` for a batch size that cannot be met, or tokens that make no step."""
    extra = config.model_extra or {}
    per_device = int(extra.get("per_device_train_batch_size", 8))
    effective = config.effective_batch_size or per_device * world_size
    if effective % world_size:
        raise ConfigError(
            f"training.effective_batch_size is {effective}, which {world_size} processes cannot share equally; "
            f"use a multiple of {world_size}."
        )
    # a device batch larger than the share is cut down; one that does not divide it is an error
    per_device = min(per_device, effective // world_size)
    if effective % (per_device * world_size):
        raise ConfigError(
            f"training.effective_batch_size is {effective}, no multiple of per_device_train_batch_size x processes = "
            f"{per_device} x {world_size} = {per_device * world_size}. Change one of them."
        )
    max_steps = int(extra.get("max_steps", -1))
    if config.num_tokens is not None:
        max_steps = int((config.num_tokens - config.tokens_already_seen) // (effective * seq_length))
    if max_steps < 1:
        raise ConfigError(
            f"training.num_tokens = {config.num_tokens}, less {config.tokens_already_seen:.0f} already seen, makes no step "
            f"of {effective} x {seq_length} tokens; raise training.num_tokens (or set training.max_steps)."
        )
    return Arithmetic(
        effective_batch_size=effective,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=effective // (per_device * world_size),
        world_size=world_size,
        max_steps=max_steps,
        seq_length=seq_length,
        tokens_already_seen=int(config.tokens_already_seen),
    )


def training_arguments(
    config: TrainingConfig, seq_length: int, run_dir: Path
) -> tuple[TrainingArguments, Arithmetic, list[str]]:
    """`TrainingArguments` for a run, its arithmetic, and warnings. Raises `ConfigError` for an unknown or bad key."""
    extra = dict(config.model_extra or {})
    known = {f.name for f in dataclasses.fields(TrainingArguments)}
    own = set(TrainingConfig.model_fields)
    for key in extra:
        if key not in known:
            raise ConfigError(f"training.{key} is unknown. {did_you_mean(key, known | own)}")
    warnings = [
        f"training.{key} is ignored: {why}." for key, why in NOT_OURS.items() if extra.pop(key, None) is not None
    ]
    if not torch.cuda.is_available():
        if extra.pop("fp16", False):
            warnings.append("training.fp16 needs a GPU; training in float32.")
        if extra.get("bf16"):
            extra["use_cpu"] = True
            if not cpu_has_bfloat16():
                warnings.append("training.bf16: this CPU has no bfloat16 instructions; training in float32.")
    if not torch.accelerator.is_available():
        extra.setdefault("use_cpu", True)  # only then do the processes of torchrun find each other
    settings: dict[str, Any] = {
        "report_to": "none",
        "logging_steps": 10,
        "logging_first_step": True,
        "save_strategy": "steps",
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_timeout": 24 * 3600,  # seconds: the other processes wait while the main one evaluates
        **extra,
        "seed": config.seed,
        "output_dir": str(run_dir),
        "run_name": run_dir.name,
        "train_sampling_strategy": "sequential",  # the order is already in the dataset
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }
    try:
        world_size = TrainingArguments(**settings).world_size
        arithmetic = work_out(config, seq_length, world_size)
        settings |= {
            "max_steps": arithmetic.max_steps,
            "per_device_train_batch_size": arithmetic.per_device_train_batch_size,
            "gradient_accumulation_steps": arithmetic.gradient_accumulation_steps,
        }
        return TrainingArguments(**settings), arithmetic, warnings
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"training: transformers refuses these arguments: {error}") from error
