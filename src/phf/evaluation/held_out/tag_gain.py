"""Was the tag learned? How much less likely text becomes after swapped control tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch

from phf.evaluation.held_out.document_rows import Block, predicted_tokens
from phf.sampling.finite import check_nats
from phf.statistics import Interval, ratio_estimate


class Gains(NamedTuple):
    """For each document of some blocks, by its number: the nats gained on its tokens, and how many tokens count."""

    totals: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class TagGain:
    """Held-out loss of text with its control tokens swapped, minus that with the right ones.

    Only text that follows a control token of its document, if that is in the block, is counted.
    """

    groups: Sequence[Sequence[int]]
    """Ids of the control tokens of each preference. Each is replaced by the next, the last by the first; two are swapped."""
    eos_id: int
    start_ids: Sequence[int] = ()
    """What begins a document, if that is not EOS."""

    @property
    def control_ids(self) -> list[int]:
        """Of all preferences."""
        return [token for group in self.groups for token in group]

    def first_documents(self, ids: Iterable[np.ndarray]) -> list[int]:
        """The number of the document that each block begins in; `ids`: the tokens of consecutive blocks."""
        opened = [int(self._opens(of_block).sum()) for of_block in ids]
        return [0, *accumulate(opened[:-1])]

    def of_blocks(
        self,
        module: Any,
        blocks: Sequence[Block],
        firsts: Sequence[int],
        right: np.ndarray,
        device: torch.device,
        starts: Sequence[np.ndarray] | None = None,
    ) -> Gains:
        """Measure some blocks.

        Args:
            firsts: the number of the document that each begins in.
            right: the result of `predicted_tokens` for them and `starts`.
        """
        swapped = [pair for group in self.groups for pair in zip(group, np.roll(group, -1).tolist(), strict=True)]
        rows = []
        for (ids, _), first in zip(blocks, firsts, strict=True):
            replaced = ids.copy()
            for old, new in swapped:
                replaced[ids == old] = new
            rows.append((replaced, self._documents(ids, first)))
        start_ids = () if list(self.start_ids[:1]) == [self.eos_id] else self.start_ids
        with torch.no_grad():
            _, documents, wrong = predicted_tokens(module, rows, start_ids, device, starts)
        check_nats(wrong, getattr(module, "lm", module))
        is_counted = ~np.isnan(documents)
        codes, gains = documents[is_counted].astype(np.int64), (wrong - right)[is_counted]
        return Gains(np.bincount(codes, gains), np.bincount(codes))

    def _opens(self, ids: np.ndarray) -> np.ndarray:
        return np.isin(ids, [self.eos_id, *self.start_ids])

    def _documents(self, ids: np.ndarray, first: int) -> np.ndarray:
        """[tokens] float64: the number of the document of each token that counts, NaN for the others."""
        places = np.arange(len(ids))
        opens = self._opens(ids)
        is_control = np.isin(ids, self.control_ids)
        documents = first + np.cumsum(opens)
        last_open, last_control = (np.maximum.accumulate(np.where(mask, places, -1)) for mask in (opens, is_control))
        is_counted = ~opens & ~is_control & (last_control >= 0) & (last_control > last_open)
        return np.where(is_counted, documents.astype(np.float64), np.nan)


def gain_interval(gains: Sequence[Gains]) -> Interval:
    """Nats per text token with its 95% interval, documents being the clusters; above 0: the tags were learned."""
    size = max((len(counts) for _, counts in gains), default=0)
    totals, counts = np.zeros(size), np.zeros(size)
    for of_totals, of_counts in gains:
        totals[: len(of_totals)] += of_totals
        counts[: len(of_counts)] += of_counts
    return ratio_estimate(totals, counts).interval()
