"""Parameters and optimiser state that are divided over processes: what was tried, what was not, and what is refused."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from phf.errors import ConfigError
from phf.storage.reading import read_json_as

USE_FSDP = "Use training.fsdp: true, which divides as much."


def check_sharding(applied: Mapping[str, Any]) -> list[str]:
    """Warnings about FSDP and DeepSpeed, from the applied keys of `training`. Raises `ConfigError` for what does not work."""
    warnings = []
    version = _settings(applied.get("fsdp_config"), "training.fsdp_config").get("version", 2)
    if applied.get("fsdp") and str(version) != "2":
        raise ConfigError(
            f"training.fsdp_config.version is {version!r}: only FSDP 2 is supported, which is the default and divides as much. "
            "Leave version out."
        )
    if applied.get("fsdp") and (applied.get("use_cpu") or not torch.accelerator.is_available()):
        warnings.append("training.fsdp divides nothing on CPUs: each process keeps the whole model.")
    if applied.get("deepspeed") is None:
        return warnings
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError("training.deepspeed needs a package that is not installed: pip install deepspeed")
    zero = _settings(applied["deepspeed"], "training.deepspeed").get("zero_optimization")
    if isinstance(zero, Mapping) and zero.get("stage") == 3:
        raise ConfigError(f"training.deepspeed: zero_optimization.stage 3 is not supported. {USE_FSDP}")
    warnings.append(f"training.deepspeed is not covered by phf's tests. {USE_FSDP}")
    return warnings


def _settings(value: Any, key: str) -> Mapping[str, Any]:
    """A mapping, or that in a JSON file; transformers reports what is neither."""
    if isinstance(value, str) and Path(value).is_file():
        value = read_json_as(dict[str, Any], Path(value), ConfigError, f"It is {key}.")
    return value if isinstance(value, Mapping) else {}
