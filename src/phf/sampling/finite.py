"""Refusing models whose output is not finite: what is drawn or measured from NaN would look like a result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phf.errors import ModelError


def usable_rows(logits: Tensor) -> Tensor:
    """[...] whether the logits [..., vocab] can be drawn from: none is NaN or +inf, and not all are -inf."""
    return logits.amax(-1).isfinite()


def check_nats(nll: np.ndarray, model: Any) -> None:
    """Raises `ModelError` unless all of these negative log-likelihoods are finite."""
    if not np.isfinite(nll).all():
        raise ModelError(not_finite(model, "the probabilities that it gives to text are not finite numbers"))


@contextmanager
def finite_logits(model: Any) -> Iterator[None]:
    """Raises `ModelError` if the model's logits of a next token cannot be drawn from, whatever calls the model."""

    def check(_module: Any, _arguments: Any, output: Any) -> None:
        if not usable_rows(output.logits[:, -1]).all():
            raise ModelError(not_finite(model))

    handle = model.register_forward_hook(check)
    try:
        yield
    finally:
        handle.remove()


def not_finite(model: Any, what: str = "its logits are NaN or infinite") -> str:
    """The message of a `ModelError`."""
    name = getattr(getattr(model, "config", None), "name_or_path", "")
    return (
        f"{type(model).__name__}{f' ({name})' if name else ''}: {what}, so nothing that is drawn from it or measured on it "
        "is meaningful. Its weights are not finite, or too large for their precision: training has diverged. "
        "Use an earlier checkpoint, or train again with a lower learning rate."
    )


def check_values(values: Tensor, model: Any) -> None:
    """Raises `ModelError` unless all values of a value head are finite."""
    if not torch.isfinite(values).all():
        raise ModelError(not_finite(model, "the values that its value head gives are not finite"))
