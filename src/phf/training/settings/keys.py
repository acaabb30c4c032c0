"""The keys of the `training` section: which of transformers' `TrainingArguments` are applied, ignored or refused, and why.

Nothing is ignored silently: a key that has no effect is reported as ignored, one that would make numbers wrong is an error,
and values are checked for type and range.
"""

import dataclasses
import difflib
import importlib.util
import math
from collections.abc import Iterable
from enum import Enum
from multiprocessing import get_all_start_methods
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from phf.config import TrainingConfig
from phf.config.trainer import IGNORED
from phf.errors import ConfigError
from phf.storage.hub_upload import check_repository
from phf.training.settings.keywords import KEYWORDS, check_keywords, check_optim_args
from phf.training.settings.sharding import check_sharding

SAME_AS_OURS: dict[str, Any] = {
    "train_sampling_strategy": "sequential",
    "remove_unused_columns": False,
    "disable_tqdm": True,
    "eval_strategy": "no",
    "do_train": True,
    "do_eval": False,
    "do_predict": False,
    "include_num_input_tokens_seen": "no",
    "use_cache": False,
    "skip_memory_metrics": True,
    "logging_nan_inf_filter": False,
    "bf16_full_eval": False,
    "fp16_full_eval": False,
    "hub_always_push": False,
    "batch_eval_metrics": False,
    "local_rank": -1,
}
REFUSED = {
    "label_smoothing_factor": (0, "no objective here supports smoothed labels"),
    "eval_on_start": (False, "set generation.run_on_train_start"),
    "load_best_model_at_end": (False, "the model of the last step is exported; earlier ones are in its checkpoints"),
    "auto_find_batch_size": (
        False,
        "a batch that changes would change what a step is; lower per_device_train_batch_size",
    ),
    "ignore_data_skip": (False, "a resumed run would train on the same blocks again"),
    "enable_jit_checkpoint": (False, "SIGTERM, SIGUSR1 and SIGHUP save a checkpoint in any case"),
    "use_liger_kernel": (False, "the head and the loss are already computed in chunks, so it does not apply"),
    "liger_kernel_config": (None, "liger's kernels are not used"),
    "dataloader_in_order": (True, "the order of the blocks would depend on how fast workers are"),
    "parallelism_config": (None, "processes are started by torchrun, and share a model by fsdp or deepspeed"),
    "hub_token": (None, "secrets are not kept in configurations; set HF_TOKEN"),
}
"""Key -> (the only accepted value, the reason)."""
AT_LEAST = {
    "per_device_train_batch_size": 1,
    "learning_rate": 0,
    "weight_decay": 0,
    "adam_epsilon": 0,
    "max_grad_norm": 0,
    "warmup_steps": 0,
    "save_total_limit": 1,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": 1,
    "ddp_timeout": 1,
    "ddp_bucket_cap_mb": 1,
    "neftune_noise_alpha": 0,
    "torch_empty_cache_steps": 1,
}
AT_MOST = {"dataloader_num_workers": 1024, "dataloader_prefetch_factor": 65_536}
"""Numbers of processes that are started, and of batches that each prepares ahead: more would end in a lack of memory."""
ABOVE_ZERO = ("logging_steps", "save_steps")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical", "passive")
CHOICES = {
    "log_level": LOG_LEVELS,
    "log_level_replica": LOG_LEVELS,
    "dataloader_multiprocessing_context": tuple(get_all_start_methods()),
    "ddp_backend": ("nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl", "ccl"),
}
HUB_STRATEGIES = ("end", "every_save", "all_checkpoints")
SHARES = ("adam_beta1", "adam_beta2")
"""At least 0, below 1."""
TRACKERS = {
    "azure_ml": ("azureml.core", "azureml-mlflow"),
    "clearml": ("clearml", "clearml"),
    "codecarbon": ("codecarbon", "codecarbon"),
    "comet_ml": ("comet_ml", "comet_ml"),
    "dagshub": ("dagshub", "dagshub mlflow"),
    "dvclive": ("dvclive", "dvclive"),
    "flyte": ("flytekit", "flytekit"),
    "kubeflow": (None, None),
    "mlflow": ("mlflow", "mlflow"),
    "neptune": ("neptune", "neptune"),
    "swanlab": ("swanlab", "swanlab"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}
"""Tracker -> (what is imported, what pip installs)."""


def check_keys(training: TrainingConfig) -> tuple[dict[str, Any], list[str]]:
    """The arguments that are applied, with values of their types, and warnings about those that are not.

    Raises `ConfigError` for a key or value that cannot be applied.
    """
    extra = dict(training.model_extra or {})
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    warnings = []
    for key in extra:
        if key not in fields:
            raise ConfigError(f"training.{key} is unknown. {nearest(key, {*fields, *TrainingConfig.model_fields})}")
    applied = {}
    if extra.get("per_device_train_batch_size") == "auto":  # found when there is a model
        del extra["per_device_train_batch_size"]
    for key, value in extra.items():
        value = _of_type(key, _named_no(value, fields[key].type), fields[key].type)
        if key in REFUSED:
            if value not in (None, REFUSED[key][0]):
                raise ConfigError(f"training.{key} cannot be set: {REFUSED[key][1]}. Leave it out.")
        elif key in IGNORED:
            if value is not None and value != SAME_AS_OURS.get(key, _NOTHING):
                warnings.append(f"training.{key} is ignored: {IGNORED[key]}.")
        elif value is not None or fields[key].default is not None:
            applied[key] = value
    for key, value in applied.items():
        _check_range(key, value)
    if training.num_tokens is not None and applied.get("max_steps", -1) != -1:
        warnings.append("training.max_steps is ignored: training.num_tokens determines the number of steps.")
    _check_strategies(applied)
    _check_trackers(applied)
    warnings += _check_hub(applied)
    return applied, warnings + check_sharding(applied)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence for an error message about a name among many: the three nearest."""
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.0)
    return f"Did you mean {', '.join(repr(other) for other in close[:-1])} or {close[-1]!r}?"


_NOTHING = object()


def _named_no(value: Any, annotation: Any) -> Any:
    """`no`, where it is the name of a choice: YAML reads it as false."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, Enum)]
    has_no = any(member.value == "no" for kind in kinds for member in kind)
    return "no" if value is False and has_no else value


def _of_type(key: str, value: Any, annotation: Any) -> Any:
    if key == "report_to" and value in (False, None, [], "no"):
        return "none"
    if key == "fsdp":  # its annotation names only one of the forms that it takes
        annotation = bool | str | list[str] | None
        value = value or None
    kinds = {annotation, *get_args(annotation)}
    is_number = bool(kinds & {int, float}) and bool not in kinds
    problem = None
    if is_number and isinstance(value, bool):
        problem = "it must be a number"
    else:
        try:
            value = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
    if isinstance(value, float) and not math.isfinite(value):
        problem = "it must be a finite number"
    if problem is not None:
        raise ConfigError(f"training.{key} is {value!r}: {problem}.")
    return value


def _check_range(key: str, value: Any) -> None:
    if value is None:
        return
    if key in AT_LEAST and value < AT_LEAST[key]:
        raise ConfigError(f"training.{key} is {value}: it must be at least {AT_LEAST[key]}.")
    if key in AT_MOST and value > AT_MOST[key]:
        raise ConfigError(f"training.{key} is {value}: it must be at most {AT_MOST[key]}.")
    if key in KEYWORDS:
        check_keywords(key, value)
    if key == "optim_args":
        check_optim_args(value)
    if key in CHOICES and value not in CHOICES[key]:
        raise ConfigError(f"training.{key} is '{value}': it must be one of {', '.join(CHOICES[key])}.")
    if key in SHARES and not 0 <= value < 1:
        raise ConfigError(f"training.{key} is {value}: it must be at least 0 and below 1.")
    if key in ABOVE_ZERO and value <= 0:
        raise ConfigError(f"training.{key} is {value}: it must be above 0. For never, set {key[:-5]}strategy: no.")
    if key in ABOVE_ZERO and value > 1 and value != int(value):
        raise ConfigError(f"training.{key} is {value}: from 1 on it counts steps and must be a whole number.")
    if key == "max_steps" and value < 1 and value != -1:
        raise ConfigError(
            f"training.max_steps is {value}: it must be at least 1, or -1 for as many as num_tokens requires."
        )


def _check_strategies(applied: dict[str, Any]) -> None:
    if getattr(applied.get("save_strategy"), "value", applied.get("save_strategy")) == "best":
        raise ConfigError("training.save_strategy is 'best', but checkpoints are not compared. Use steps, epoch or no.")
    scheduler = applied.get("lr_scheduler_type")
    if getattr(scheduler, "value", scheduler) == "reduce_lr_on_plateau":
        raise ConfigError(
            "training.lr_scheduler_type is 'reduce_lr_on_plateau', which needs transformers' evaluation. Choose another."
        )


def check_accelerator(accelerator: Any) -> None:
    """Raises `ConfigError` for what `training.accelerator_config` (read by transformers) would make of a step."""
    where = "training.accelerator_config"
    if accelerator.split_batches:
        raise ConfigError(
            f"{where}.split_batches cannot be set: processes would share each batch, so a step would have fewer blocks than "
            "effective_batch_size. Leave it out."
        )
    if (accelerator.gradient_accumulation_kwargs or {}).get("num_steps") is not None:
        raise ConfigError(
            f"{where}.gradient_accumulation_kwargs.num_steps cannot be set: it follows from effective_batch_size. "
            "Leave it out."
        )


def _check_trackers(applied: dict[str, Any]) -> None:
    named = applied.get("report_to", "none")
    for name in [named] if isinstance(named, str) else named or []:
        if name in ("none", "all"):
            continue
        if name not in TRACKERS:
            raise ConfigError(f"training.report_to: there is no tracker '{name}'. {nearest(name, TRACKERS)}")
        module, package = TRACKERS[name]
        if module is not None and not _is_installed(module):
            raise ConfigError(f"training.report_to: {name} is not installed. Install it with: pip install {package}")


def _check_hub(applied: dict[str, Any]) -> list[str]:
    """A warning about keys without effect. Raises `ConfigError` for a repository or strategy that cannot be."""
    strategy = applied.get("hub_strategy", "end")
    strategy = getattr(strategy, "value", strategy)
    if strategy not in HUB_STRATEGIES:
        raise ConfigError(
            f"training.hub_strategy is '{strategy}': it must be {', '.join(HUB_STRATEGIES)}. The state of training, with "
            "which a run is resumed, is not uploaded."
        )
    if applied.get("hub_model_id") is not None:
        check_repository(applied["hub_model_id"], "training.hub_model_id")
    idle = [key for key in ("hub_model_id", "hub_strategy") if key in applied]
    if applied.get("push_to_hub") or not idle:
        return []
    return [f"training.{idle[0]} has no effect without training.push_to_hub: true."]


def _is_installed(module: str) -> bool:
    names = [module] if module != "tensorboard" else ["tensorboard", "tensorboardX"]
    return any(importlib.util.find_spec(name.partition(".")[0]) is not None for name in names)
