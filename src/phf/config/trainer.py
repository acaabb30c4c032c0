"""Trainer's keys of the section `training`: what they mean when they are left out, and which have no effect on the model."""

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

HELD_OUT = "held-out loss is measured with the generation scenarios (generation.every_n_steps, dataset.max_eval_tokens)"
TOKENS = "training.num_tokens or max_steps says how long training takes"
ORDER = "the order of the blocks follows from training.seed"
IGNORED = {
    "output_dir": "the run folder is --output-dir / --run-name",
    "run_name": "the run's name is --run-name",
    "gradient_accumulation_steps": "it follows from effective_batch_size",
    "num_train_epochs": TOKENS,
    "data_seed": ORDER,
    "train_sampling_strategy": ORDER,
    "length_column_name": ORDER,
    "dataloader_drop_last": "every step has effective_batch_size blocks",
    "resume_from_checkpoint": "an interrupted run continues with --resume",
    "restore_callback_states_from_checkpoint": "callbacks keep no state",
    "remove_unused_columns": "blocks have no columns that are not used",
    "label_names": "the columns of blocks are fixed",
    "use_cache": "training never caches keys and values",
    "disable_tqdm": "phf shows its own progress",
    "include_num_input_tokens_seen": "metrics.jsonl has tokens_seen in every line",
    "skip_memory_metrics": "memory is not among the numbers that are written",
    "logging_nan_inf_filter": "a loss that is not finite ends training",
    "log_on_each_node": "the main process writes metrics.jsonl",
    "local_rank": "the launcher sets it",
    "do_train": "phf train trains",
    "do_eval": HELD_OUT,
    "do_predict": HELD_OUT,
    "eval_strategy": HELD_OUT,
    "eval_steps": HELD_OUT,
    "eval_delay": HELD_OUT,
    "eval_accumulation_steps": HELD_OUT,
    "eval_do_concat_batches": HELD_OUT,
    "eval_use_gather_object": HELD_OUT,
    "per_device_eval_batch_size": HELD_OUT,
    "prediction_loss_only": HELD_OUT,
    "batch_eval_metrics": HELD_OUT,
    "include_for_metrics": HELD_OUT,
    "bf16_full_eval": HELD_OUT,
    "fp16_full_eval": HELD_OUT,
    "metric_for_best_model": HELD_OUT,
    "greater_is_better": HELD_OUT,
    "hub_always_push": "uploads never hold up training",
    "hub_revision": "checkpoints are tagged with the tokens that they have seen",
}
"""Without effect; a warning says so, unless the value is the actual behaviour."""
WORKING = (
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor"),
    *("dataloader_multiprocessing_context", "torch_empty_cache_steps", "debug"),
    *(
        "logging_strategy",
        "logging_steps",
        "logging_first_step",
        "log_level",
        "log_level_replica",
        "report_to",
        "project",
        "tracker_group",
        "tracker_tags",
    ),
    *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id", "spike_deviations", "inspect_steps"),
    *("save_strategy", "save_steps", "save_minutes", "save_total_limit", "save_only_model", "save_on_each_node"),
    *("push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo"),
    *("ddp_timeout", "ddp_backend", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
    *("ddp_find_unused_parameters", "fsdp", "fsdp_config"),
    *(
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
    ),
)
"""Keys that decide what is logged and saved, and how work is organised: the model is the same."""
LASTING_DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": None,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "optim_args": None,
    "optim_target_modules": None,
    "neftune_noise_alpha": None,
    "average_tokens_across_devices": True,
    "full_determinism": False,
}
"""Defaults of the keys that the model depends on. A copy: a hash that is kept must not change with the release of
transformers, and reading a run must not import it."""


def with_trainer_defaults(training: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    """The section with the defaults of those of `keys` that were left out and have one. Imports transformers if need be."""
    missing = [key for key in sorted(keys - training.keys()) if key not in CHOSEN_BY_HARDWARE]
    defaults = {key: DEFAULTS[key] for key in missing if key in DEFAULTS}
    if len(defaults) < len(missing):
        from transformers import TrainingArguments

        fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
        defaults |= {key: _default(fields[key]) for key in missing if key in fields and key not in defaults}
    return {**training, **defaults}


def deciding(training: dict[str, Any]) -> dict[str, Any]:
    """What of the section `training` decides which model results: no keys of other use, none at its default."""
    without = {*IGNORED, *WORKING}
    return {
        key: value
        for key, value in training.items()
        if key not in without and (key not in LASTING_DEFAULTS or value != LASTING_DEFAULTS[key])
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value.value if isinstance(value, Enum) else value
