"""Keeps an update that is not finite away from the weights, decided on the device: no host waits for it.

A fused optimizer reads a flag on the device, as it does for gradient scalers: where it is set, nothing is updated. It is set
by the first step whose loss or gradient norm is not finite, and stays set, so that the weights remain those before it until
what happened is read: when a line is logged, before weights are saved or measured, and every `MAX_UNREAD_STEPS`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

MAX_UNREAD_STEPS = 100


class Bad(NamedTuple):
    """The first step whose update was kept away from the weights."""

    step: int
    is_loss: bool
    is_norm: bool
    norm: float
    documents: list[Tensor]
    """[batch, 2] of each of its batches."""


class UpdateGuard:
    """The flag of one process, and what it means.

    Args:
        optimizer: of torch, fused.
        device: of the weights.
        any_process: turns a tensor into its sum over all processes, without waiting.
    """

    def __init__(self, optimizer: Any, device: torch.device, any_process: Callable[[Tensor], Tensor]) -> None:
        self._optimizer = optimizer
        self._any_process = any_process
        self._first = torch.zeros(4, dtype=torch.float64, device=device)
        """Step (0: none), whether its loss and its norm are bad, and the norm."""
        self._documents: dict[int, list[Tensor]] = {}

    @property
    def num_unread(self) -> int:
        """Steps since the last `read`."""
        return len(self._documents)

    def check(self, step: int, loss: Tensor, norm: Tensor, documents: list[Tensor]) -> None:
        """Called before the update of `step`, in every process."""
        self._documents[step] = documents
        flags = self._any_process(torch.stack([~loss.isfinite(), ~norm.isfinite()]).double())
        number = torch.full((), step, dtype=torch.float64, device=flags.device)
        this = torch.stack([number, *flags, norm.double()])
        is_first = (self._first[0] == 0) & flags.any()
        self._first = torch.where(is_first, this, self._first)
        self._optimizer.found_inf = (self._first[0] != 0).float()

    def read(self) -> Bad | None:
        """The first bad step, if there was one; waits for the device."""
        if not self._documents:
            return None
        step, is_loss, is_norm, norm = self._first.tolist()
        documents = self._documents.get(int(step), [])
        self._documents = {}
        return Bad(int(step), is_loss > 0, is_norm > 0, norm, documents) if step else None


def can_guard(optimizer: Any, device: torch.device) -> bool:
    """Whether updates can be kept away without waiting, and whether that is of use: on a CPU there is nothing to wait for."""
    return device.type == "cuda" and bool(getattr(optimizer, "_step_supports_amp_scaling", False))
