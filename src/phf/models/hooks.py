"""The inputs and outputs of a module inside a model, observed from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """The outputs of `module` while the block runs, call by call."""
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _args, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def inputs_of(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """The first argument that `module` is called with while the block runs, call by call."""
    seen: list[Tensor] = []
    if module is None:
        yield seen
        return
    handle = module.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()
