"""Attention that hides segments, at the speed of causal attention.

A kernel that is given a mask also computes what is above the diagonal, which no mask lets through; without one, it knows that
attention is causal. On a CPU, queries are therefore taken in parts, each with the keys up to its last one. On a GPU the mask is
replaced by more columns of queries and keys, whose products are 0 where a token is seen and hugely negative where it is not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from phf.models.building.hiding import is_numbers, visibility

SDPA = "sdpa"
ROWS = 256
"""Queries of a part. With 1,024 tokens in float32, all parts take the time of causal attention without a mask."""
WHOLE = ALL_ATTENTION_FUNCTIONS[SDPA]
HUGE = 2048.0
"""What is taken from the logit of a token that is not seen, at least; exp(-HUGE) is 0 in every precision."""
LARGEST = 32768.0
"""Of a key; representable in float16."""
MULTIPLE, WIDEST = 8, 256
"""Widths of heads that flash kernels take: multiples of one, up to the other."""


@contextmanager
def hiding(mask: Tensor | None) -> Iterator[None]:
    """While it lasts, models whose attention is `sdpa` take `mask`, and compute no more than causal attention does.

    Args:
        mask: bool [batch, 1, seq, seq] on a CPU, causal: attention is computed in parts; int [batch, 1, 1, seq], numbers of
            hidden segments: see `attention_by_numbers`. With None or any other one, nothing changes.

    What the backward pass computes again is computed outside of this.
    """
    own = None if mask is None else _attention_for(mask)
    if own is None:
        yield
        return
    try:
        ALL_ATTENTION_FUNCTIONS[SDPA] = own
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[SDPA] = WHOLE  # not what was there before: another thread may have been in here


def _attention_for(mask: Tensor) -> Callable[..., tuple[Tensor, None]] | None:
    if is_numbers(mask):
        return attention_by_numbers
    return attention_in_parts if mask.device.type == "cpu" else None


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


def attention_by_numbers(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Causal attention in which hidden segments are seen by their own tokens alone, without a mask.

    A query has the binary digits of the number of its segment and their complements as further columns. The key of a hidden
    token has the same two groups the other way round, negative and scaled; that of a visible token has zeros. Their product is
    thus 0 if the key is visible or of the query's own segment, and else there is one large negative term for each digit that
    differs: the token gets the weight 0 and no gradient. Columns of values are zeros, and are left out of the output.

    Args:
        query, key, value: [batch, heads, seq, width]; keys and values may have fewer heads.
        attention_mask: int32 [batch, 1, 1, seq], 0 for visible tokens, else the number of the hidden segment, up to `seq` + 1.
        scaling: of logits; None: one over the square root of the width.
        settings: further arguments of `sdpa_attention_forward`.
    """
    if attention_mask is None:
        return WHOLE(module, query, key, value, None, scaling=scaling, **settings)
    seq, width = query.shape[2:]
    scale = width**-0.5 if scaling is None else scaling
    powers = 2 ** torch.arange((seq + 1).bit_length(), device=query.device)
    numbers = attention_mask.view(attention_mask.size(0), 1, seq, 1)
    digits = (numbers & powers) != 0
    if width + 2 * digits.size(-1) > WIDEST:
        return WHOLE(module, query, key, value, visibility(numbers.flatten(1)), scaling=scale, **settings)
    room = -(width + 2 * digits.size(-1)) % MULTIPLE
    huge = -min(HUGE / scale, LARGEST)
    of_queries = pad(torch.cat([digits, ~digits], dim=-1).to(query.dtype), (0, room))
    of_keys = pad((torch.cat([~digits, digits], dim=-1) & (numbers != 0)).to(key.dtype) * huge, (0, room))
    output, _ = WHOLE(
        module,
        torch.cat([query, of_queries.expand(-1, query.size(1), -1, -1)], dim=-1),
        torch.cat([key, of_keys.expand(-1, key.size(1), -1, -1)], dim=-1),
        pad(value, (0, of_keys.size(-1))),
        None,
        scaling=scale,
        **{**settings, "is_causal": True},
    )
    return output[..., : value.size(-1)], None


def _has_parts(seq: int, key: Tensor, mask: Tensor, settings: dict[str, Any]) -> bool:
    is_square = mask.dtype == torch.bool and mask.shape[-2:] == (seq, seq) and key.size(2) == seq
    return is_square and not settings.get("dropout") and settings.get("position_bias") is None
