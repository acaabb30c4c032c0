"""Our own sampling loop: the distribution of `model.generate`, in less time for prompts of mixed length.

On a CPU, `generate` spends its time on a sort of the vocabulary for each token (draw.py sorts only the likeliest), a
random number for each entry of it (here: one per token), a copy of all keys and values for each token (see
static_cache.py), and rows that continue after their end (here: removed from the batch).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phf.errors import ModelError
from phf.sampling.continuation import until_end
from phf.sampling.draw import Drawer
from phf.sampling.finite import not_finite, usable_rows
from phf.sampling.static_cache import accepts, pad_left, positions_of, preallocated_cache

LOOK_EVERY = 8
"""Steps between checks of which rows have ended, since each check waits for the GPU."""
FINISHED_SHARE = 0.25
"""Share of ended rows at which they are removed: each removal costs a copy of the cache."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: the prompts to steer away from, of the same length as those steered towards, and the scale."""

    prompts: list[list[int]]
    scale: float


@dataclass(frozen=True)
class Lengths:
    """For each prompt, in tokens: the most that may be added, and the fewest before EOS is allowed."""

    most: list[int]
    fewest: list[int]


def sample_batch(
    model: Any,
    prompts: list[list[int]],
    lengths: Lengths,
    drawer: Drawer,
    uniforms: Tensor,
    guidance: Guidance | None = None,
) -> list[list[int]]:
    """Ids of the continuations, up to and including the first end.

    Args:
        model: one that `runs_own_loop`, in eval mode; the caller switches gradients off.
        prompts: ids, none empty. Padded on the left here; each prompt has its own length, positions and limits.
        uniforms: [prompts, most tokens added], in [0, 1), one for each token.

    Raises `ModelError` if the model's logits are not finite.
    """
    device = model.device
    rows = PromptRows(
        model, prompts, max(len(p) + most for p, most in zip(prompts, lengths.most, strict=True)), guidance
    )
    uniforms = uniforms.to(device)
    most, fewest = (torch.tensor(values, device=device) for values in (lengths.most, lengths.fewest))
    ends = torch.tensor(drawer.ends, device=device)
    drawn = torch.full((len(prompts), max(lengths.most)), drawer.ends[0], device=device)
    live = torch.arange(len(prompts), device=device)
    is_finished = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    is_usable = torch.ones((), dtype=torch.bool, device=device)
    logits = rows.start()
    for step in range(drawn.size(1)):
        is_usable &= (usable_rows(logits) | is_finished).all()
        tokens = drawer(logits, step >= fewest[live], uniforms[live, step])
        drawn[live, step] = tokens
        is_finished |= torch.isin(tokens, ends) | (step + 1 >= most[live])
        if device.type == "cpu" or (step + 1) % LOOK_EVERY == 0 or rows.is_full or step + 1 == drawn.size(1):
            if not is_usable:
                raise ModelError(not_finite(model))
            num_finished = int(is_finished.sum())
            if num_finished == live.size(0):
                break
            if num_finished >= FINISHED_SHARE * live.size(0) or rows.is_full:
                left = (~is_finished).nonzero()[:, 0]
                rows.keep(left)
                tokens, live, is_finished = tokens[left], live[left], is_finished[left]
        logits = rows.step(tokens)
    rows_of_ids = zip(drawn.tolist(), lengths.most, strict=True)
    return [_with_end(ids[:length], drawer.ends) for ids, length in rows_of_ids]


class PromptRows:
    """The rows of a batch as the model sees them: cache, mask and positions; under guidance both halves of each."""

    def __init__(self, model: Any, prompts: list[list[int]], capacity: int, guidance: Guidance | None) -> None:
        self.model = model
        self.scale = None if guidance is None else guidance.scale
        both = prompts if guidance is None else [*prompts, *guidance.prompts]
        self.ids, mask = pad_left(both, 0, model.device)
        self.num_columns = self.ids.size(1)
        self.capacity = capacity
        self.positions = positions_of(mask)
        self.padding = [self.num_columns - len(prompt) for prompt in both]
        self.mask = torch.ones(len(both), capacity, dtype=torch.long, device=model.device)
        self.mask[:, : self.num_columns] = mask
        self.cache = preallocated_cache(model, capacity)
        self.takes_positions = accepts(model, "position_ids")
        self.takes_count = accepts(model, "logits_to_keep")

    @property
    def is_full(self) -> bool:
        """No column left: rows that started without padding have ended, and their first columns can be removed."""
        return self.num_columns == self.capacity

    def start(self) -> Tensor:
        """Run the prompts; [rows, vocab] logits of what follows them."""
        return self._run(self.ids, self.positions)

    def step(self, tokens: Tensor) -> Tensor:
        """Add a token to each row; logits of the next one."""
        ids = tokens[:, None] if self.scale is None else tokens[:, None].repeat(2, 1)
        self.num_columns += 1
        # a finished row may run on until it is removed, but never past the positions of the model
        self.positions = (self.positions[:, -1:] + 1).clamp(max=self.capacity - 1)
        return self._run(ids, self.positions)

    def keep(self, rows: Tensor) -> None:
        """Remove the other rows, and the columns that are then padding in all rows."""
        if self.scale is not None:
            rows = torch.cat([rows, rows + self.mask.size(0) // 2])
        self.padding = [self.padding[row] for row in rows.tolist()]
        first = min(self.padding)
        self.padding = [padding - first for padding in self.padding]
        self.num_columns -= first
        self.positions = self.positions[rows]
        self.mask = torch.nn.functional.pad(self.mask[rows, first:], (0, first), value=1)
        for layer in self.cache.layers:
            layer.keep(rows, first)

    def _run(self, ids: Tensor, positions: Tensor) -> Tensor:
        arguments: dict[str, Any] = {"past_key_values": self.cache, "use_cache": True}
        if any(self.padding):  # without a mask attention takes its fast path
            arguments["attention_mask"] = self.mask[:, : self.num_columns]
        if self.takes_positions:
            arguments["position_ids"] = positions
        if self.takes_count:
            arguments["logits_to_keep"] = 1
        logits = self.model(input_ids=ids, **arguments).logits[:, -1].float()
        return logits if self.scale is None else guided(logits, self.scale)


def guided(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans, arXiv 2207.12598; for language models Sanchez et al., arXiv 2306.17806).

    `log p = log p(away) + scale * (log p(towards) - log p(away))`, up to a constant.

    Args:
        logits: [2 * rows, vocab]: first the rows steered towards, then those steered away from.
        scale: 1 is the first half alone, 0 the second, more than 1 exaggerates the difference.
    """
    towards, away = logits.log_softmax(-1).chunk(2)
    # what is impossible on both sides, such as tokens without text, stays so
    return (away + scale * (towards - away)).masked_fill(towards.isneginf() & away.isneginf(), -torch.inf)


def _with_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """`ids` up to and including the first end."""
    return list(ids[: len(until_end(ids, ends)) + 1])
