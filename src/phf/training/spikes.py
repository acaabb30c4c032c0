"""Loss spikes: steps whose loss is far above those of the steps before, reported with the documents they trained on.

A step is a spike if its loss exceeds the mean of the `WINDOW` losses before it by more than `training.spike_deviations`
of their standard deviations, once there are `ENOUGH` of them. (OLMo 2, arXiv 2501.00656, counts values 7 standard deviations
away from the mean of the last 1,000; a shorter window follows the falling loss of a short run.) Losses stay on the
device until something is logged or saved, and are then reduced over all processes: the same spikes for any number of them.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from phf.errors import CheckpointError, PhfError
from phf.runs.writer import RunWriter
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import RecentLosses
from phf.text import visible_text
from phf.tokens.locate import HasDocuments, documents_in_each

WINDOW = 128
"""Steps whose losses a loss is compared with."""
ENOUGH = 32
"""Fewer losses say too little about how much they vary."""
MOST_OPEN = 1024
"""Steps after which losses are fetched from the device even if nothing is logged, so that the backlog does not grow."""
FILE = "recent_losses.json"
"""In a checkpoint."""
MAX_NAMED = 8
"""Documents that a message names; spikes.jsonl has all of them."""


@dataclass(frozen=True)
class Spike:
    """One step, and the steps before it."""

    step: int
    loss: float
    mean: float
    """Mean of the losses before it."""
    deviation: float
    """Their standard deviation."""
    spans: list[tuple[int, int]]
    """`document_key` of the first and the last document of each block of the step."""


class Spikes:
    """Finds the spikes of a run; every method is called in each process at the same steps."""

    def __init__(self, deviations: float | None, accelerator: Any) -> None:
        """`deviations`: how far above the mean a spike is; None: spikes are not looked for."""
        self._deviations = deviations
        self._accelerator = accelerator
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._open: list[tuple[int, Tensor, list[Tensor]]] = []
        """(step, its loss so far, the `documents` of its batches) since losses were last fetched."""

    def add(self, step: int, loss: Tensor, documents: Tensor | None) -> None:
        """Record a batch, without waiting for the device.

        Args:
            loss: 0-dimensional, this process's part of the step's loss; the sum of the parts is averaged over processes.
            documents: int64 [batch, 2].
        """
        if self._deviations is None:
            return
        batches = [] if documents is None else [documents]
        if self._open and self._open[-1][0] == step:
            _, before, earlier = self._open.pop()
            loss, batches = before + loss.detach(), earlier + batches
        self._open.append((step, loss.detach(), batches))

    @property
    def is_full(self) -> bool:
        """Whether it is time to `settle` before the next step."""
        return len(self._open) >= MOST_OPEN

    def settle(self) -> list[Spike]:
        """The spikes among the steps since the last call."""
        if not self._open:
            return []
        losses = torch.stack([loss.float() for _, loss, _ in self._open])
        if self._accelerator.num_processes > 1:
            losses = self._accelerator.reduce(losses, "mean")
        spikes = []
        for (step, _, batches), loss in zip(self._open, losses.tolist(), strict=True):
            if not math.isfinite(loss):  # which ends the run, or is a step that the loss scale of fp16 skips
                continue
            assert self._deviations is not None, "nothing is added without"
            if len(self._recent) >= ENOUGH and loss > (mean := fmean(self._recent)):
                deviation = pstdev(self._recent)
                if loss > mean + self._deviations * deviation:
                    spikes.append((step, loss, mean, deviation, [tuple(span) for b in batches for span in b.tolist()]))
            self._recent.append(loss)
        self._open = []
        if not spikes:
            return []
        of_all = gather_object([[spans for *_, spans in spikes]])
        return [
            Spike(step, loss, mean, deviation, [span for of_one in of_all for span in of_one[number]])
            for number, (step, loss, mean, deviation, _) in enumerate(spikes)
        ]

    def save(self, folder: Path) -> None:
        """Write the losses that later ones are compared with into a checkpoint; called after `settle`."""
        write_json_atomic(folder / FILE, {"losses": list(self._recent)}, sync=False)

    def load(self, folder: Path) -> None:
        """Read them back; older versions did not write them."""
        if (folder / FILE).is_file():
            advice = "Delete it; spikes of the next steps may then be missed."
            saved = read_json_as(RecentLosses, folder / FILE, CheckpointError, advice, finite=True)
            self._recent = deque(saved["losses"], maxlen=WINDOW)


class SpikeLog:
    """Writes spikes to spikes.jsonl and announces them; used by the main process.

    Args:
        blocks_of: step -> what it was trained on, in which its documents are looked up. A stream has to be read from its start
            for that, so the documents of its spikes are looked up by `complete`, all at once.
        tokens_seen: step -> tokens.
    """

    def __init__(
        self,
        writer: RunWriter,
        blocks_of: Callable[[int], HasDocuments],
        is_streamed: bool,
        tokens_seen: Callable[[int], int],
        announce: Callable[[str], None],
    ) -> None:
        self._writer, self._blocks_of, self._is_streamed = writer, blocks_of, is_streamed
        self._tokens_seen, self._announce = tokens_seen, announce

    def __call__(self, spikes: Sequence[Spike]) -> None:
        """Record spikes, in the order of their steps."""
        if not spikes:
            return
        named = None if self._is_streamed else self._documents([(spike.step, spike.spans) for spike in spikes])
        for number, spike in enumerate(spikes):
            documents = None if named is None else named[number]
            line = {
                "step": spike.step,
                "tokens_seen": self._tokens_seen(spike.step),
                "loss": spike.loss,
                "mean_before": spike.mean,
                "standard_deviation_before": spike.deviation,
                "documents": documents,
                **({"document_keys": spike.spans} if documents is None else {}),
            }
            self._writer.append_spike(line)
            where = "looked up when training ends" if documents is None else _shown(documents)
            self._announce(
                f"Loss spike at step {spike.step:,}: {spike.loss:.4g}, where the steps before had {spike.mean:.4g} with a "
                f"standard deviation of {spike.deviation:.2g} (training.spike_deviations). Its documents, all in "
                f"spikes.jsonl: {where}"
            )

    def complete(self) -> None:
        """Look up the documents that are not named yet; called when training has ended."""
        lines = self._writer.read_spikes()
        open_lines = [line for line in lines if line.get("documents") is None and line.get("document_keys")]
        if not open_lines:
            return
        self._announce(f"Reading the corpus for the documents of {len(open_lines):,} loss spikes")
        spans = [(line["step"], [(first, last) for first, last in line["document_keys"]]) for line in open_lines]
        named = self._documents(spans)
        if named is None:
            self._announce(
                "The corpus can no longer be read: spikes.jsonl keeps hashes of the documents instead of their ids"
            )
            return
        for line, documents in zip(open_lines, named, strict=True):
            line["documents"] = documents
            del line["document_keys"]
        self._writer.write_spikes(lines)

    def _documents(self, spans: list[tuple[int, list[tuple[int, int]]]]) -> list[list[str]] | None:
        """The documents of (step, spans) each."""
        named: list[list[str]] = [[] for _ in spans]
        blocks = [self._blocks_of(step) for step, _ in spans]
        try:
            for one in {id(of_step): of_step for of_step in blocks}.values():
                chosen = [number for number, of_step in enumerate(blocks) if of_step is one]
                for number, documents in zip(
                    chosen, documents_in_each([spans[n][1] for n in chosen], one), strict=True
                ):
                    named[number] = documents
        except (PhfError, OSError):  # the corpus is gone: the run continues without the ids
            return None
        return named


def _shown(documents: Sequence[str]) -> str:
    more = f" and {len(documents) - MAX_NAMED:,} more" if len(documents) > MAX_NAMED else ""
    return visible_text(", ".join(documents[:MAX_NAMED]) + more)
