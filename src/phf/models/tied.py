"""Tied weights in a saved state: once, as safetensors requires, and tied again after loading."""

from typing import Any

from torch import Tensor, nn


def save_tied_weights_once(module: nn.Module) -> None:
    """Make the state of a module contain each tensor once, and load such a state into all its names."""
    state = module.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    tied = {
        key: first[tensor.data_ptr()]
        for key, tensor in state.items()
        if first.setdefault(tensor.data_ptr(), key) != key
    }
    # read by the hooks below, which also run on a copy of the module, and by Trainer
    module._tied, module._keys_to_ignore_on_save = tied, list(tied)  # type: ignore[assignment]
    module.register_state_dict_post_hook(_drop_tied)
    module.register_load_state_dict_pre_hook(_add_tied)


def _drop_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
    for key in getattr(module, "_keys_to_ignore_on_save", ()):
        state.pop(prefix + key, None)


def _add_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key, first in getattr(module, "_tied", {}).items():
        if prefix + first in state:
            state.setdefault(prefix + key, state[prefix + first])
