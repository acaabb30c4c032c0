"""From the `training` section to `TrainingArguments`, with the arithmetic of batch sizes, steps and tokens."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import Trainer, TrainingArguments, get_scheduler

from phf.config import TrainingConfig
from phf.config.trainer import DEFAULTS
from phf.errors import ConfigError
from phf.models.bfloat16 import cpu_has_bfloat16
from phf.storage.loading_errors import first_sentence
from phf.text import counted
from phf.training.settings.keys import check_accelerator, check_keys
from phf.workers.launcher import check_devices, check_launcher, check_visible_gpus

AUTO = "auto"
"""Value of per_device_train_batch_size: the most blocks that fit."""
OF_SHARING = ("push_to_hub", "hub_model_id", "hub_strategy")
"""Keys that `phf.training.sharing` applies: Trainer would upload its checkpoints, which only it can read."""
OPTIMIZERS_OF_LAYERS = {"galore": "galore-torch", "apollo": "apollo-torch", "lomo": "lomo-optim"}
"""Optimisers that are made from a model's layers, and the packages they come from."""


@dataclass(frozen=True)
class Arithmetic:
    """Numbers of blocks, steps and tokens of a run."""

    effective_batch_size: int
    """Blocks in an optimiser step."""
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    world_size: int
    max_steps: int
    seq_length: int
    tokens_already_seen: int
    finds_micro_batch: bool = False
    """Whether the number of blocks per device is to be found; until then it is 1."""

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
    """The arithmetic of a run. Raises `ConfigError` for a batch size that cannot be met, or too few tokens for a step."""
    extra = config.model_extra or {}
    blocks = extra.get("per_device_train_batch_size", 8)
    is_auto = blocks == AUTO
    if is_auto and config.effective_batch_size is None:
        raise ConfigError(
            "training.per_device_train_batch_size is auto, which leaves the size of a step open: set "
            "training.effective_batch_size."
        )
    per_device = 1 if is_auto else int(float(blocks))
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
            f"training.effective_batch_size is {effective}, not a multiple of per_device_train_batch_size x processes = "
            f"{per_device} x {world_size} = {per_device * world_size}. Change one of them."
        )
    max_steps = int(float(extra.get("max_steps", -1)))
    if config.num_tokens is not None:
        max_steps = int((config.num_tokens - config.tokens_already_seen) // (effective * seq_length))
    if max_steps < 1:
        raise ConfigError(
            f"training.num_tokens = {config.num_tokens}, minus {config.tokens_already_seen:.0f} already seen, is less "
            f"than a step of {effective} x {seq_length} tokens; raise training.num_tokens (or set training.max_steps)."
        )
    return Arithmetic(
        effective_batch_size=effective,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=effective // (per_device * world_size),
        world_size=world_size,
        max_steps=max_steps,
        seq_length=seq_length,
        tokens_already_seen=int(config.tokens_already_seen),
        finds_micro_batch=is_auto,
    )


def use_one_gpu(arguments: TrainingArguments) -> list[str]:
    """Use one of several visible GPUs unless a launcher has started a process for each, and say how to use all.

    Trainer would wrap the model in `DataParallel`, which multiplies the batch and so makes every count wrong.
    """
    num_gpus = arguments.n_gpu
    if num_gpus <= 1:
        return []
    arguments._n_gpu = 1
    return [
        f"{num_gpus} GPUs are visible and one of them is used. To use all: "
        f"torchrun --nproc-per-node {num_gpus} -m phf train ..."
    ]


def training_arguments(
    config: TrainingConfig, seq_length: int, run_dir: Path, chosen: Mapping[str, Any] | None = None
) -> tuple[TrainingArguments, Arithmetic, list[str]]:
    """`TrainingArguments` for a run, its arithmetic, and warnings. Raises `ConfigError` for an unknown or bad key.

    `chosen`: keys that the hardware has decided, for what the configuration does not set.
    """
    extra, warnings = check_keys(config)
    for key in OF_SHARING:
        extra.pop(key, None)
    if not extra.get("use_cpu"):
        check_visible_gpus(torch.accelerator.device_count())
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
        **DEFAULTS,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **(chosen or {}),
        **extra,
        "seed": config.seed,
        "output_dir": str(run_dir),
        "run_name": run_dir.name,
        "train_sampling_strategy": "sequential",  # the order is already in the dataset
        "ignore_data_skip": True,  # the dataset begins where the checkpoint ends
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # it would log the mean of earlier losses, or 0.0, for one that is not finite
    }
    if settings.get("dataloader_multiprocessing_context") and settings.get("dataloader_num_workers", 1) == 0:
        raise ConfigError(
            "training.dataloader_multiprocessing_context has no use without processes that load data: set "
            "training.dataloader_num_workers to at least 1, or leave it out."
        )
    check_launcher()
    if settings.get("ddp_backend") != "gloo":
        check_devices(0 if settings.get("use_cpu") else torch.accelerator.device_count())
    try:
        if settings.get("use_cpu"):  # for which TrainingArguments forgets the timeout: processes would wait 30 minutes
            timeout = timedelta(seconds=settings["ddp_timeout"])
            PartialState(cpu=True, backend=settings.get("ddp_backend"), timeout=timeout)
        world_size = TrainingArguments(**settings).world_size
        arithmetic = work_out(config, seq_length, world_size)
        settings |= {
            "max_steps": arithmetic.max_steps,
            "per_device_train_batch_size": arithmetic.per_device_train_batch_size,
            "gradient_accumulation_steps": arithmetic.gradient_accumulation_steps,
        }
        given = extra.get("per_device_train_batch_size", 0)
        if arithmetic.finds_micro_batch and (extra.get("fsdp") or extra.get("deepspeed")):
            raise ConfigError(
                "training.per_device_train_batch_size is auto, which is not supported for a model that fsdp or deepspeed "
                "shard: choose a number."
            )
        if given > arithmetic.per_device_train_batch_size:
            warnings.append(
                f"training.per_device_train_batch_size is {given}, but a step has "
                f"{counted(arithmetic.effective_batch_size, 'block')} for "
                f"{counted(world_size, 'process', 'processes')}: it is lowered to {arithmetic.per_device_train_batch_size}."
            )
        arguments = TrainingArguments(**settings)
        warms_up = arguments.lr_scheduler_type != "constant"
        if warms_up and arguments.get_warmup_steps(arguments.max_steps) >= arguments.max_steps:
            warnings.append(
                f"training.warmup_steps is {arguments.warmup_steps:g}, but the run has "
                f"{counted(arguments.max_steps, 'step')}: the learning rate never reaches training.learning_rate."
            )
        check_accelerator(arguments.accelerator_config)
        _check_optimizer(arguments)
        if arguments.torch_compile:  # refuses modes and backends that it does not know
            torch.compile(
                torch.nn.Identity(), backend=arguments.torch_compile_backend, mode=arguments.torch_compile_mode
            )
        warnings += use_one_gpu(arguments)
        return arguments, arithmetic, warnings
    except ConfigError:
        raise
    except (
        ValueError,
        TypeError,
        ImportError,
        RuntimeError,
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
    ) as error:
        reason = first_sentence(error)
        blamed = [key for key, value in extra.items() if key in reason or (isinstance(value, str) and value in reason)]
        where = f"training.{blamed[0]}" if len(blamed) == 1 else "training"
        raise ConfigError(f"{where}: transformers rejects this: {reason}") from error


def _check_optimizer(arguments: TrainingArguments) -> None:
    """Raises what transformers raises for an optimiser or schedule that is not installed or lacks settings."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    package = next((name for part, name in OPTIMIZERS_OF_LAYERS.items() if part in str(arguments.optim)), None)
    if package is None:
        Trainer.get_optimizer_cls_and_kwargs(arguments)
    elif importlib.util.find_spec(package.replace("-", "_")) is None:
        raise ConfigError(f"training.optim is '{arguments.optim}', whose package is missing: pip install {package}")
    schedule = get_scheduler(
        arguments.lr_scheduler_type,
        torch.optim.SGD([parameter], lr=1.0),
        num_warmup_steps=arguments.get_warmup_steps(arguments.max_steps),
        num_training_steps=arguments.max_steps,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
    for step in (arguments.max_steps // 2, arguments.max_steps):  # a wrong argument is used only after the warm-up
        for multiplier in getattr(schedule, "lr_lambdas", ()):
            multiplier(step)
