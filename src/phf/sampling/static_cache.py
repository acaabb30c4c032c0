"""A cache of keys and values that is written in place, and the models that our own sampling loop can run."""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import GenerationMixin

from phf.models.context import text_config


class PreallocatedLayer(DynamicLayer):
    """Like `DynamicLayer`, without copying everything for each token: room for `capacity` columns from the start."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._allocate(key_states, value_states, key_states.size(0))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Views of all keys and values so far, [batch, heads, columns, width]."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.size(-2)
        assert end <= self.capacity
        self._all_keys[..., self.length : end, :] = key_states
        self._all_values[..., self.length : end, :] = value_states
        self._show(end)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.length

    def keep(self, rows: Tensor, first_column: int) -> None:
        """Keep these rows of the batch, and the columns from `first_column` on."""
        keys, values, length = self.keys, self.values, self.length - first_column
        self._allocate(keys, values, rows.size(0))
        self._all_keys[..., :length, :] = keys[..., first_column:, :].index_select(0, rows)
        self._all_values[..., :length, :] = values[..., first_column:, :].index_select(0, rows)
        self._show(length)

    def _allocate(self, keys: Tensor, values: Tensor, batch: int) -> None:
        self._all_keys, self._all_values = (
            like.new_empty((batch, like.size(1), self.capacity, like.size(3))) for like in (keys, values)
        )

    def _show(self, length: int) -> None:
        self.length = length
        self.keys, self.values = self._all_keys[..., :length, :], self._all_values[..., :length, :]


def preallocated_cache(model: Any, capacity: int) -> Cache:
    """An empty cache for `model`: layers with a sliding window keep everything, their mask hides what is too far away."""
    layers = DynamicCache(config=model.config).layers
    return Cache(layers=[PreallocatedLayer(capacity) for _ in layers])


def runs_own_loop(model: Any) -> bool:
    """Whether `model` is plain enough: a cache of keys and values, and nothing else, carried from token to token."""
    kind = type(model)
    inherits = all(
        getattr(kind, name, None) is getattr(GenerationMixin, name)
        for name in ("generate", "prepare_inputs_for_generation", "_update_model_kwargs_for_generation")
    )
    if not inherits or not accepts(model, "past_key_values") or not accepts(model, "attention_mask"):
        return False
    config = text_config(model.config)
    if config.is_encoder_decoder or kind._is_stateful or getattr(config, "attention_chunk_size", None) is not None:
        return False
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def forget(model: Any, batch: int) -> None:
    """Clear what a model keeps in its layers from one text to the next, for a batch of `num_rows` rows.

    RecurrentGemma does this, and starts a prompt of a single token from the state of the previous text.
    """
    if hasattr(model, "_setup_cache"):
        model._setup_cache(model.config, batch, model.device, model.dtype)


def accepts(model: Any, argument: str) -> bool:
    """Whether the model's `forward` takes an argument of this name."""
    return argument in inspect.signature(model.forward).parameters


def positions_of(mask: Tensor) -> Tensor:
    """[batch, columns] position ids of prompts padded on the left; padding has position 0."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def pad_left(prompts: list[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """[batch, columns] ids and mask (1: token, 0: padding), both int64."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask
