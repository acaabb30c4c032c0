"""The value head of advantage-weighted regression."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phf.errors import ConfigError

VALUE_HEAD_FILE = "value_head.pt"
"""Name of the file next to the weights of an exported model that has a value head."""
UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""Raised by torch's reader for a file of another kind, and by `load_state_dict` for other tensors."""


class ValueHead(nn.Module):
    """Predicts the reward of the next token from the last hidden state: -sigmoid(linear), in (-1, 0).

    Linear without bias, zero-initialised, so an untrained head predicts -0.5 everywhere. `is_detached` stops the value
    loss from training the trunk. Its parameters are kept in float32 and saved in a separate file.
    """

    def __init__(self, width: int, is_detached: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.is_detached = is_detached

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, seq, width] -> [batch, seq] values."""
        if self.is_detached:
            hidden = hidden.detach()
        return -torch.sigmoid(self.linear(hidden.to(self.linear.weight.dtype)).squeeze(-1).float())


def load_value_head(folder: Path, lm: Any) -> ValueHead:
    """The value head of the exported model in `folder`, on the device of `lm`, its language model.

    Only tensors are read from the file, nothing in it is executed. Raises `ConfigError` if there is no head, or not one
    that fits `lm`.
    """
    path = folder / VALUE_HEAD_FILE
    if not path.is_file():
        raise ConfigError(f"{folder} has no {VALUE_HEAD_FILE}: only models trained with AWR have a value head.")
    head = ValueHead(lm.get_output_embeddings().weight.size(1))
    try:
        head.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{path} is not a value head of this model: {first} Export the model again.") from error
    return head.to(lm.device)
