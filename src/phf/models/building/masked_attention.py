"""Attention under a mask that hides segments, without the half of the products above the diagonal, which no mask lets through.

A kernel that is given a mask computes all of them; without one, it knows that attention is causal. So queries are taken in
parts, each with the keys up to its last one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SDPA = "sdpa"
ROWS = 256
"""Queries of a part. With 1,024 tokens in float32, all parts take the time of causal attention without a mask."""
WHOLE = ALL_ATTENTION_FUNCTIONS[SDPA]


@contextmanager
def below_diagonal(mask: Tensor | None) -> Iterator[None]:
    """While it lasts, models whose attention is `sdpa` compute masked attention in parts, if their mask is on a CPU.

    Every mask that they are given must be causal. What the backward pass computes again is computed outside of this.
    On a GPU, where it was not measured, and for None, nothing changes.
    """
    if mask is None or mask.device.type != "cpu":
        yield
        return
    try:
        ALL_ATTENTION_FUNCTIONS[SDPA] = attention_in_parts
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[SDPA] = WHOLE  # not what was there before: another thread may have been in here


def attention_in_parts(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """What `sdpa_attention_forward` of transformers returns, [batch, seq, heads, width], for a causal mask.

    Args:
        query, key, value: [batch, heads, seq, width].
        attention_mask: bool [batch, 1, seq, seq]. With any other one, all is computed at once; and with dropout, whose random
            numbers parts would change.
        settings: further arguments of `sdpa_attention_forward`.
    """
    seq = query.size(2)
    if attention_mask is None or not _has_parts(seq, key, attention_mask, settings):
        return WHOLE(module, query, key, value, attention_mask, **settings)
    parts = []
    for start in range(0, seq, ROWS):
        stop = min(start + ROWS, seq)
        keys, values, mask = key[:, :, :stop], value[:, :, :stop], attention_mask[:, :, start:stop, :stop]
        parts.append(WHOLE(module, query[:, :, start:stop], keys, values, mask, **settings)[0])
    return torch.cat(parts, dim=1), None


def _has_parts(seq: int, key: Tensor, mask: Tensor, settings: dict[str, Any]) -> bool:
    is_square = mask.dtype == torch.bool and mask.shape[-2:] == (seq, seq) and key.size(2) == seq
    return is_square and not settings.get("dropout") and settings.get("position_bias") is None
