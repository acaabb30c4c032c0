"""From logits to the next token: what `generate` does with temperature, top_k and top_p, in less time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

HANDLED = (
    "do_sample",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "temperature",
    "top_k",
    "top_p",
)
"""The arguments of `generate` that our own loop supports, besides EOS and banned tokens; others need `generate`."""
WIDTHS = (64, 1024)
"""Number of the likeliest tokens that are sorted first to find those that make up top_p, before all are."""
DEFAULT_TOP_K = 50
"""Transformers' default, if neither scenario nor model sets one."""


@dataclass
class Drawer:
    """Draws a token from each row of logits: temperature, then top_k, then top_p, as in transformers.

    `first_width` increases if a model's distribution is so flat that narrow sorts are wasted; the result does not
    depend on it.
    """

    eos: int | Sequence[int]
    """The id, or the ids, that end a text."""
    banned: Sequence[int] = ()
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = DEFAULT_TOP_K
    top_p: float = 1.0
    first_width: int = field(default=0)
    _banned: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def ends(self) -> list[int]:
        """All ids that end a text."""
        return [self.eos] if isinstance(self.eos, int) else list(self.eos)

    @classmethod
    def of(cls, config: Any, device_type: str) -> "Drawer":
        """From a `GenerationConfig`. On a GPU a full sort is cheaper than checking whether a narrow one suffices."""
        return cls(
            eos=config.eos_token_id,
            banned=config.suppress_tokens or (),
            do_sample=bool(config.do_sample),
            temperature=1.0 if config.temperature is None else config.temperature,
            top_k=DEFAULT_TOP_K if config.top_k is None else config.top_k,
            top_p=1.0 if config.top_p is None else config.top_p,
            first_width=0 if device_type == "cpu" else len(WIDTHS),
        )

    def __call__(self, logits: Tensor, may_end: Tensor, uniforms: Tensor) -> Tensor:
        """[rows] token ids.

        Args:
            logits: [rows, vocab], float32, overwritten.
            may_end: [rows], false if no end is allowed yet.
            uniforms: [rows] in [0, 1), the random numbers; not used if `do_sample` is false.
        """
        for end in self.ends:
            logits[:, end].masked_fill_(~may_end, -torch.inf)
        if self.banned:
            if self._banned is None or self._banned.device != logits.device:
                self._banned = torch.tensor(list(self.banned), device=logits.device)
            logits.index_fill_(1, self._banned, -torch.inf)
        if not self.do_sample:
            return logits.argmax(-1)
        if self.temperature != 1:
            logits /= self.temperature
        if 0 < self.top_k < logits.size(-1):
            least = logits.topk(self.top_k).values[:, -1:]
            logits.masked_fill_(logits < least, -torch.inf)
        if self.top_p < 1:
            return self._draw_from_nucleus(logits, uniforms)
        return _draw(logits.softmax(-1), uniforms)

    def _draw_from_nucleus(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """A token is kept if those likelier than it have less than `top_p` together, the likeliest always."""
        total = logits.logsumexp(-1, keepdim=True)
        tokens = torch.empty(logits.size(0), dtype=torch.long, device=logits.device)
        rows = torch.arange(logits.size(0), device=logits.device)
        for number in range(self.first_width, len(WIDTHS) + 1):
            width = WIDTHS[number] if number < len(WIDTHS) else logits.size(-1)
            values, ids = logits[rows].topk(min(width, logits.size(-1)))
            probabilities = (values - total[rows]).exp()
            upto = probabilities.cumsum(-1)
            kept = probabilities.where(upto - probabilities < self.top_p, 0)
            kept[:, 0] = probabilities[:, 0]
            tokens[rows] = ids.gather(-1, _draw(kept, uniforms[rows])[:, None])[:, 0]
            if ids.size(-1) == logits.size(-1):
                break
            is_short = upto[:, -1] < self.top_p
            short = rows[is_short]
            if 2 * short.size(0) > logits.size(0):
                self.first_width = number + 1
            if short.size(0) == 0:
                break
            rows = short
        return tokens


def _draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """[rows] indices, each with probability proportional to its weight: the first whose running sum exceeds a share."""
    running = weights.cumsum(-1)
    # uniforms < 1, so the share is less than the last sum, and a weight of 0 is never the first to exceed it
    share = uniforms[:, None] * running[:, -1:]
    return torch.searchsorted(running, share, right=True)[:, 0].clamp(max=weights.size(-1) - 1)


def uniforms(seed: int, index: int, candidate: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1), float32: those of candidate `candidate` of sample `index`, independent of all other draws."""
    bits = np.random.Philox(key=np.array([seed % 2**64, index], dtype=np.uint64), counter=[0, 0, 0, candidate])
    return np.random.Generator(bits).random(count, dtype=np.float32)


def uniforms_of(rows: Sequence[int], best_of: int, seed: int, count: int) -> Tensor:
    """[rows, count] random numbers for each row; the `best_of` candidates of a sample have consecutive rows."""
    return torch.from_numpy(np.stack([uniforms(seed, row // best_of, row % best_of, count) for row in rows]))
