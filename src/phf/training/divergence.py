"""Runs whose loss, gradient or weights stop being finite: detected at once, and ended with all available information."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phf.errors import DivergedError
from phf.text import visible_text

MAX_SKIPPED_STEPS = 32
"""Consecutive steps that fp16's loss scaling may skip. Each halves the scale, which is useless long before that."""
LOSS = "the loss is not finite"
WEIGHTS = "after its update some weights are not finite"
NO_LOSS = {"train/loss": math.nan}
"""The line of a step whose loss was finite, but not the model after it: it marks the run as diverged for readers."""
MAX_NAMED = 8
"""Documents that a message names; the others are counted."""
ADVICE = (
    "Lower training.learning_rate, raise training.warmup_steps, lower training.max_grad_norm (gradients are clipped at "
    "it), or train in another precision (training.bf16 instead of training.fp16, or float32), under another --run-name."
)


def is_finite_total(tensors: Iterable[Tensor]) -> Tensor:
    """0-dimensional bool: whether all numbers are finite; nothing is copied, and no host waits for it."""
    local = [tensor.to_local() if hasattr(tensor, "to_local") else tensor for tensor in tensors]  # FSDP's own share
    local = [tensor.detach() for tensor in local if tensor.numel() and tensor.is_floating_point()]
    if not local:
        return torch.tensor(True)
    return nn.utils.get_total_norm(local, norm_type=torch.inf).isfinite()


def in_any_process(accelerator: Any, flags: Sequence[Tensor]) -> list[bool]:
    """Which of several 0-dimensional bools are true in any process: the only time that a step waits for the device."""
    stacked = torch.stack([flag.to(accelerator.device) for flag in flags]).float()
    if accelerator.num_processes > 1:
        stacked = accelerator.reduce(stacked, "sum")
    return [value > 0 for value in stacked.tolist()]


def divergence(what: str, step: int, documents: Sequence[str], checkpoint: Path | None) -> DivergedError:
    """The error that ends the run: what was not finite, the step, its documents, what to do, and what is kept.

    `checkpoint`: the last one whose weights are known to give a finite loss.
    """
    named = ", ".join(documents[:MAX_NAMED])
    if len(documents) > MAX_NAMED:
        named += f" and {len(documents) - MAX_NAMED:,} more"
    kept = (
        f"The last good checkpoint is {checkpoint}."
        if checkpoint is not None
        else "No good checkpoint had been written yet (training.save_steps)."
    )
    where = f" The documents of that step: {visible_text(named)}." if documents else ""
    return DivergedError(f"Training diverged at step {step:,}: {what}.{where} {kept} {ADVICE}")
