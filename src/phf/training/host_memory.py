"""Whether a model can be in the memory of this machine at all: the kernel ends a process that takes more without a word."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.storage.sizes import size_text
from phf.training.micro_batch import CGROUP, MEMINFO

WITH_MOMENTS = ("adamw_torch", "adamw_torch_fused")
"""Optimisers that keep two numbers for each parameter, of its type."""
NOT_ALL_HERE = ("quantization_config", "device_map")
"""Arguments of a model with which its weights are smaller than they seem, or elsewhere."""


def check_host_memory(model: ModelConfig, lm: Any, arguments: Any) -> None:
    """Raises `ConfigError` for a model that can never be in memory: built from scratch, or trained on CPUs.

    Args:
        lm: without values.
        arguments: transformers' `TrainingArguments`.

    Too little is counted rather than too much: no activations, and nothing with a row for each token, since a tokenizer that is
    not known yet may have fewer. Pretrained weights that a GPU takes may be read from their files a part at a time.
    """
    is_on_cpu = arguments.device.type == "cpu"
    here = whole_memory()
    if here is None or not (is_on_cpu or model.from_scratch) or any(key in model.model_kwargs for key in NOT_ALL_HERE):
        return
    vocab_size = lm.get_input_embeddings().weight.size(0)
    weights = sum(values.nbytes for values in lm.parameters() if vocab_size not in values.shape)
    has_moments = is_on_cpu and str(getattr(arguments.optim, "value", arguments.optim)) in WITH_MOMENTS
    needed = 4 * weights if has_moments else weights
    if needed > here:
        more = f" ({size_text(needed)} with gradients and the two moments of AdamW)" if has_moments else ""
        raise ConfigError(
            f"model: its weights take {size_text(weights)}{more}, but this machine has {size_text(here)} of "
            "memory, swap included. Choose a smaller model or a machine with more memory."
        )


def whole_memory(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int | None:
    """Bytes of memory and swap that this process could use if it were alone; None where the system does not say."""
    try:
        lines = dict(re.findall(r"^(\w+):\s+(\d+) kB$", meminfo.read_text(encoding="ascii"), re.MULTILINE))
        memory, swap = (1024 * int(lines[name]) for name in ("MemTotal", "SwapTotal"))
    except (OSError, KeyError):  # not Linux
        return None
    with suppress(OSError, ValueError):  # no control group, or no limit
        memory = min(memory, int((cgroup / "memory.max").read_text(encoding="ascii")))
    return memory + swap
