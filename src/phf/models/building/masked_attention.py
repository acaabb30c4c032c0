"""Attention under a mask that hides segments, without the half of the products above the diagonal, which no mask lets through.

A kernel that is given a mask computes all of them; without one, it knows that attention is causal. On a CPU, queries are
therefore taken in parts, each with the keys up to its last one. On a GPU there are kernels that take both, though not from
`scaled_dot_product_attention`.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SDPA = "sdpa"
ROWS = 256
"""Queries of a part. With 1,024 tokens in float32, all parts take the time of causal attention without a mask."""
WHOLE = ALL_ATTENTION_FUNCTIONS[SDPA]
HOPPER = 9
"""Compute capability of the GPUs on which cuDNN's kernel is the fastest, and the one that torch chooses."""
MULTIPLE, WIDEST = 8, 128
"""Widths of heads that the GPU kernels take: multiples of one, up to the other; blocks have multiples of the first, too."""
TOP_LEFT = 1
"""Of `_efficient_attention_forward`: causal, counted from the first query and the first key."""

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]
"""Queries, keys, values [batch, heads, seq, width], bias [batch, heads, seq, seq], dropout, scale -> like queries."""


@contextmanager
def below_diagonal(mask: Tensor | None, is_compiled: bool) -> Iterator[None]:
    """While it lasts, models whose attention is `sdpa` compute masked attention only where it is causal.

    Args:
        mask: that they are given, which must be causal: bool on a CPU, or what is added to logits on a GPU. For None nothing
            changes.
        is_compiled: whether the model is, whose compiler would not gain from parts.

    What the backward pass computes again is computed outside of this.
    """
    if mask is None:
        yield
        return
    try:
        ALL_ATTENTION_FUNCTIONS[SDPA] = _attention_on(mask.device, is_compiled)
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[SDPA] = WHOLE  # not what was there before: another thread may have been in here


def _attention_on(device: torch.device, is_compiled: bool) -> Callable[..., tuple[Tensor, None]]:
    if device.type == "cpu":
        return WHOLE if is_compiled else attention_in_parts
    if device.type != "cuda":
        return WHOLE
    is_hopper = torch.cuda.get_device_capability(device)[0] == HOPPER
    kernel, attention = (_cudnn, attention_by_cudnn) if is_hopper else (_cutlass, attention_by_cutlass)
    return attention if _works(kernel, device) else WHOLE


@functools.cache
@torch.no_grad()
def _works(kernel: Kernel, device: torch.device) -> bool:
    """Whether a kernel is there, takes a mask, and leaves out by itself what is above the diagonal."""
    seq = 64
    numbers = torch.arange(seq * seq, device=device).sin().bfloat16().view(1, 1, seq, seq)
    query, key, value = (numbers.roll(shift) for shift in (0, 5, 9))
    is_causal = torch.ones(seq, seq, dtype=torch.bool, device=device).tril()
    is_hidden = (numbers[0, 0, 0] > 0) & ~torch.eye(seq, dtype=torch.bool, device=device)
    bias = torch.zeros_like(query).masked_fill_(is_hidden, -torch.inf)
    expected = WHOLE(torch.nn.Module(), query, key, value, bias.masked_fill(~is_causal, -torch.inf))[0]
    try:
        output = kernel(query, key, value, bias, 0.0, seq**-0.5).transpose(1, 2)
    except RuntimeError:  # a build of torch without it
        return False
    return torch.allclose(output, expected, atol=0.02)


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


def attention_by_cudnn(module: torch.nn.Module, *tensors: Any, **settings: Any) -> tuple[Tensor, None]:
    """`causal_attention` with cuDNN's kernel."""
    return causal_attention(_cudnn, module, *tensors, **settings)


def attention_by_cutlass(module: torch.nn.Module, *tensors: Any, **settings: Any) -> tuple[Tensor, None]:
    """`causal_attention` with the kernel that torch calls memory-efficient."""
    return causal_attention(_cutlass, module, *tensors, **settings)


def causal_attention(
    kernel: Kernel,
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What `sdpa_attention_forward` of transformers returns, [batch, seq, heads, width], for a causal mask on a GPU.

    Args:
        query, key, value: [batch, heads, seq, width]; keys and values may have fewer heads.
        attention_mask: [batch, 1, seq, seq], added to logits. With any other one, in single precision, and for shapes that the
            kernels do not take, this is `sdpa_attention_forward`.
        scaling: of logits; None: one over the square root of the width.
        settings: further arguments of `sdpa_attention_forward`.
    """
    if attention_mask is None or not _fits(query, key, value, attention_mask, settings):
        return WHOLE(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **settings)
    heads, width = query.size(1), query.size(3)
    key, value = repeat_kv(key, heads // key.size(1)), repeat_kv(value, heads // value.size(1))
    bias = attention_mask.to(query.dtype).expand(-1, heads, -1, -1)
    output = kernel(query, key, value, bias, dropout, width**-0.5 if scaling is None else scaling)
    return output.transpose(1, 2).contiguous(), None


def _fits(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, settings: dict[str, Any]) -> bool:
    seq, width = query.shape[2:]
    is_square = mask.is_floating_point() and mask.shape[-2:] == (seq, seq) and key.size(2) == seq
    is_half = query.dtype in (torch.bfloat16, torch.float16) and query.dtype == key.dtype == value.dtype
    is_sized = width <= WIDEST and width == value.size(3) and not (width % MULTIPLE or seq % MULTIPLE)
    return is_square and is_half and is_sized and settings.get("position_bias") is None


def _cudnn(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float, scale: float) -> Tensor:
    attend = torch.ops.aten._scaled_dot_product_cudnn_attention
    return attend(query, key, value, bias, True, dropout, is_causal=True, scale=scale)[0]


def _cutlass(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float, scale: float) -> Tensor:
    tensors = [tensor.transpose(1, 2) for tensor in (query, key, value)]
    attend = torch.ops.aten._efficient_attention_forward
    return attend(*tensors, bias, None, None, None, None, dropout, TOP_LEFT, True, scale=scale)[0].transpose(1, 2)
