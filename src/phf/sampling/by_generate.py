"""Sampling by `model.generate`, which supports every model and argument."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from phf.models.context import context_of
from phf.sampling.draw import Drawer
from phf.sampling.finite import finite_logits
from phf.sampling.static_cache import forget, pad_left


class DrawEach(LogitsProcessor):
    """Draws the next token of each row itself, so that `generate`, which takes the likeliest one, has no choice.

    So a sample is determined by its own numbers, independently of its batch.

    Args:
        width: columns of the prompts.
        fewest: [rows] tokens before an end is allowed.
        uniforms: [rows, tokens] in [0, 1).
    """

    def __init__(self, drawer: Drawer, width: int, fewest: Tensor, uniforms: Tensor) -> None:
        self._drawer = drawer
        self._width = width
        self._fewest = fewest
        self._uniforms = uniforms

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """[rows, vocab] scores: 0 for the token drawn, -inf for all others."""
        step = input_ids.size(1) - self._width
        tokens = self._drawer(scores.float().clone(), step >= self._fewest, self._uniforms[:, step])
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


def generate_with(
    model: Any, prompts: list[list[int]], room: Sequence[int], config: GenerationConfig
) -> list[list[int]]:
    """Ids of the continuations, special tokens included, as `generate` itself samples under torch's random state.

    Each prompt has the same `room`, in tokens, as it would have alone, regardless of the others in its batch;
    `min_length` counts the padding, as in transformers.
    """
    return _run(model, prompts, room, config, None)


def draw_with_generate(
    model: Any,
    prompts: list[list[int]],
    room: Sequence[int],
    config: GenerationConfig,
    drawer: Drawer,
    fewest: Sequence[int],
    uniforms: Tensor,
) -> list[list[int]]:
    """The same, drawn by our own loop's `drawer` and `uniforms` [prompts, tokens]; `fewest`: tokens before the end."""
    width = max(map(len, prompts))
    allowed = torch.tensor(fewest, device=model.device)
    draw = DrawEach(drawer, width, allowed, uniforms.to(model.device))
    plain = GenerationConfig(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id, do_sample=False)
    return _run(model, prompts, room, plain, draw)


def _run(
    model: Any, prompts: list[list[int]], room: Sequence[int], config: GenerationConfig, draw: LogitsProcessor | None
) -> list[list[int]]:
    ids, mask = pad_left(prompts, config.pad_token_id, model.device)
    width = ids.size(1)
    # what the shortest prompt needs, unless the longest one runs out of positions
    context = context_of(model.config)
    num_new = max(room) if context is None else min(max(room), context - width)
    own = copy.deepcopy(config)
    own.max_length, own.max_new_tokens = None, num_new
    forget(model, len(prompts))
    processors = LogitsProcessorList([] if draw is None else [draw])
    with finite_logits(model):
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=own, logits_processor=processors)
    return [row[:length] for row, length in zip(output[:, width:].tolist(), room, strict=True)]
