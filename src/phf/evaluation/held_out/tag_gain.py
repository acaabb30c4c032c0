"""Was the tag learned? How much less likely text becomes after swapped control tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from phf.evaluation.held_out.document_rows import Block, predicted_tokens
from phf.sampling.finite import check_nats
from phf.statistics import Interval, ratio_estimate


@dataclass
class TagGain:
    """Held-out loss of text with its control tokens swapped, minus that with the right ones, batch by batch.

    Only text that follows a control token of its document, if that is in the block, is counted.
    """

    control_ids: Sequence[int]
    """Each is replaced by the next, the last by the first; two are swapped."""
    eos_id: int
    start_ids: Sequence[int] = ()
    """What begins a document, if that is not EOS."""
    _totals: list[np.ndarray] = field(default_factory=list)
    _counts: list[np.ndarray] = field(default_factory=list)
    _document: int = 0
    """Number of the document that the last block ended in."""
    _last_block: int | None = None

    def add(self, module: Any, numbers: Sequence[int], blocks: Sequence[Block], right: np.ndarray, device: Any) -> None:
        """Measure some blocks.

        Args:
            numbers: their positions; a document may continue in the next block, but not across a gap.
            right: the result of `predicted_tokens` for them.
        """
        swapped = np.array(self.control_ids, np.int64)
        rows = []
        for number, (ids, _) in zip(numbers, blocks, strict=True):
            if self._last_block is None or number != self._last_block + 1:
                self._document += 1
            self._last_block = number
            replaced = ids.copy()
            for old, new in zip(swapped, np.roll(swapped, -1), strict=True):
                replaced[ids == old] = new
            rows.append((replaced, self._documents(ids)))
        start_ids = () if list(self.start_ids[:1]) == [self.eos_id] else self.start_ids
        with torch.no_grad():
            _, documents, wrong = predicted_tokens(module, rows, start_ids, device)
        check_nats(wrong, getattr(module, "lm", module))
        is_counted = ~np.isnan(documents)
        codes, gains = documents[is_counted].astype(np.int64), (wrong - right)[is_counted]
        self._totals.append(np.bincount(codes, gains))
        self._counts.append(np.bincount(codes))

    def _documents(self, ids: np.ndarray) -> np.ndarray:
        """[tokens] float64: the number of the document of each token that counts, NaN for the others."""
        places = np.arange(len(ids))
        opens = np.isin(ids, [self.eos_id, *self.start_ids])
        is_control = np.isin(ids, self.control_ids)
        documents = self._document + np.cumsum(opens)
        self._document = int(documents[-1])
        last_open, last_control = (np.maximum.accumulate(np.where(mask, places, -1)) for mask in (opens, is_control))
        is_counted = ~opens & ~is_control & (last_control >= 0) & (last_control > last_open)
        return np.where(is_counted, documents.astype(np.float64), np.nan)

    def interval(self) -> Interval:
        """Nats per text token with its 95% interval, documents being the clusters; above 0: the tags were learned."""
        size = max((len(counts) for counts in self._counts), default=0)
        totals, counts = np.zeros(size), np.zeros(size)
        for total, count in zip(self._totals, self._counts, strict=True):
            totals[: len(total)] += total
            counts[: len(count)] += count
        return ratio_estimate(totals, counts).interval()
