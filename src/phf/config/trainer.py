"""What Trainer's keys of the section `training` mean when they are left out."""

import dataclasses
from enum import Enum
from typing import Any

DEFAULTS: dict[str, Any] = {
    "report_to": "none",
    "logging_steps": 10,
    "logging_first_step": True,
    "save_strategy": "steps",
    "ddp_timeout": 24 * 3600,  # seconds: the other processes wait while the main one evaluates
}
"""Defaults of ours, which take precedence over those of transformers."""
CHOSEN_BY_HARDWARE = {
    "use_cpu",
    "bf16",
    "fp16",
    "tf32",
    "optim",
    "torch_compile",
    "torch_compile_mode",
    "torch_compile_backend",
    "accelerator_config",
    "dataloader_persistent_workers",
    "dataloader_prefetch_factor",
    "dataloader_pin_memory",
    "dataloader_num_workers",
    "per_device_train_batch_size",
}
"""Keys whose value may follow from the machine when they are left out, so that no value means the same as none."""


def with_trainer_defaults(training: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    """The section with the defaults of those of `keys` that were left out and have one. Imports transformers if need be."""
    missing = [key for key in sorted(keys - training.keys()) if key not in CHOSEN_BY_HARDWARE]
    defaults = {key: DEFAULTS[key] for key in missing if key in DEFAULTS}
    if len(defaults) < len(missing):
        from transformers import TrainingArguments

        fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
        defaults |= {key: _default(fields[key]) for key in missing if key in fields and key not in defaults}
    return {**training, **defaults}


def without_trainer_defaults(training: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    """The section without those of `keys` that are at their defaults. Imports transformers if need be."""
    defaults = with_trainer_defaults({}, keys)
    return {key: value for key, value in training.items() if key not in defaults or defaults[key] != value}


def _default(field: dataclasses.Field[Any]) -> Any:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value.value if isinstance(value, Enum) else value
