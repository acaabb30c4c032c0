"""The value head of advantage-weighted regression."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from safetensors import safe_open
from torch import Tensor, nn
from typing_extensions import TypedDict

from phf.errors import ConfigError
from phf.storage.hub import stored_file
from phf.storage.loading_errors import UNREADABLE_TENSORS, first_sentence
from phf.storage.pretrained import RELEASED_WEIGHT, check_finite
from phf.storage.reading import read_json_as

VALUE_HEAD_FILE = "value_head.pt"
"""Name of the file next to the weights of an exported model that has a value head."""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in the order in which transformers looks for them."""


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


class _WeightIndex(TypedDict):
    """A `*.index.json` of weights in several files."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    weight_map: dict[str, str]


def load_value_head(folder: Path, lm: Any) -> ValueHead:
    """The value head of the model in `folder`, on the device of `lm`, its language model; see `stored_value_head`.

    Raises `ConfigError` if there is no head, or not one that fits `lm`.
    """
    head = stored_value_head(str(folder), lm.get_output_embeddings().weight.size(1))
    if head is None:
        raise ConfigError(f"{folder} has no {VALUE_HEAD_FILE}: only models trained with AWR have a value head.")
    return head.to(lm.device)


def has_value_head(folder: Path) -> bool:
    """Whether the model in `folder` has a value head: in a file of its own, or among its weights.

    Weights that cannot be read have none; loading the model reports them.
    """
    if (folder / VALUE_HEAD_FILE).is_file():
        return True
    try:
        return _among_weights(str(folder), None) is not None
    except ConfigError:
        return False


def stored_value_head(name: str, width: int, revision: str | None = None) -> ValueHead | None:
    """The value head of the folder or Hub model `name`, of this width; None if it has none.

    It is in `value_head.pt`, or, in a checkpoint of the released system, among the model's weights. Only tensors are read,
    nothing in a file is executed. Raises `ConfigError` for a head that is damaged or has another shape.
    """
    path = stored_file(name, VALUE_HEAD_FILE, revision)
    if path is None:
        weight = _among_weights(name, revision)
        if weight is None:
            return None
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise ConfigError(f"'{name}': {RELEASED_WEIGHT} is not a tensor of real numbers. Restore the checkpoint.")
        if tuple(weight.shape) != (1, width):
            raise ConfigError(
                f"'{name}': {RELEASED_WEIGHT} has the shape {list(weight.shape)}, but a value head of this model has "
                f"{[1, width]}. Remove it, or take the checkpoint that it belongs to."
            )
        head = ValueHead(width)
        head.linear.weight.data.copy_(weight)
        check_finite(head, f"'{name}': the weights of the value head")
        return head
    head = ValueHead(width)
    try:
        head.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE_TENSORS as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{path} is not a value head of this model: {first} Export the model again.") from error
    return head


def _among_weights(name: str, revision: str | None) -> Tensor | None:
    """The value head's weight in the files of weights that transformers would load; None if it is not there."""
    for file_name in WEIGHT_FILES:
        if (index := stored_file(name, f"{file_name}.index.json", revision)) is not None:
            listed = read_json_as(_WeightIndex, index, ConfigError, "Restore it.")["weight_map"]
            if RELEASED_WEIGHT not in listed:
                return None
            file_name = listed[RELEASED_WEIGHT]
        path = stored_file(name, file_name, revision)
        if path is not None:
            return _tensor(path)
    return None


def _tensor(path: Path) -> Tensor | None:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stored:
                return stored.get_tensor(RELEASED_WEIGHT) if RELEASED_WEIGHT in stored.keys() else None  # noqa: SIM118
        with suppress(RuntimeError):  # a file of torch before 1.6 cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True).get(RELEASED_WEIGHT)
        return torch.load(path, map_location="cpu", weights_only=True).get(RELEASED_WEIGHT)
    except UNREADABLE_TENSORS as error:
        raise ConfigError(f"{path} cannot be read: {first_sentence(error)}") from error
