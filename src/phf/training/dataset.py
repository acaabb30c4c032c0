"""Blocks as torch's datasets, for any number of processes and data-loading workers, and as batches."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from phf.feedback.objectives import IGNORE_INDEX, Objective
from phf.models.building.hiding import follows_hidden
from phf.runs.layout import STREAM_INDEX
from phf.tokens.order import OrderedBlocks
from phf.tokens.phased import PhasedBlocks
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks
from phf.training.inspection.steps import NO_STEPS, InspectedSteps, inspected_steps
from phf.training.plan import Plan


class Collator:
    """Blocks -> a batch: `input_ids`, `labels`, `token_scores` and, where blocks have them, `position_ids` and `hidden`, each
    [batch, seq], and `documents`, [batch, 2]. In steps that are inspected also `segment_starts`, bool [batch, seq].

    The first label is not a target, since nothing predicts it; marking it lets Trainer count targets exactly.
    Raises `CorpusError` for a score that the objective cannot use.

    Args:
        objectives: what the scores are checked for.
        ignored_ids: tokens that are never targets, such as control tokens without loss, in each phase. Items say which phase
            they belong to where there are several.
        hides: whether items may have hidden segments (`hidden`); what would be predicted from one that is not its own is not
            a target.

    Attributes:
        ignores_only_first: whether all other labels are targets.
    """

    def __init__(
        self,
        objectives: Sequence[Objective] = (),
        ignored_ids: Sequence[Sequence[int]] = ((),),
        *,
        hides: bool = False,
    ) -> None:
        self.objectives = list(objectives)
        self.ignored_ids = [torch.tensor(ids, dtype=torch.int64) for ids in ignored_ids]
        self.ignores_only_first = not hides and not any(map(len, ignored_ids))

    def __call__(self, items: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        ids = torch.from_numpy(np.stack([item["input_ids"] for item in items]))
        labels = ids.clone()
        labels[:, 0] = IGNORE_INDEX
        if not self.ignores_only_first:
            for row, item in enumerate(items):
                ignored = self.ignored_ids[int(item.get("phase", 0))]
                labels[row, torch.isin(ids[row], ignored)] = IGNORE_INDEX
        if "hidden" in items[0]:
            labels[follows_hidden(torch.from_numpy(np.stack([item["hidden"] for item in items])))] = IGNORE_INDEX
        scores = np.stack([item["token_scores"] for item in items])
        for objective in self.objectives:
            objective.check_scores(scores, "a block of the training data")
        batch = {"input_ids": ids, "labels": labels, "token_scores": torch.from_numpy(scores)}
        for key in ("position_ids", "hidden", "documents", "segment_starts"):
            if key in items[0]:
                batch[key] = torch.from_numpy(np.stack([item[key] for item in items]))
        return batch


class MapDataset(Dataset):
    """Torch's type around blocks in the order of training.

    Args:
        start: the item that comes first, where a resumed run is. Nothing before it is read, or counted through.
        inspected: steps whose items have `segment_starts` too.
    """

    def __init__(
        self, items: OrderedBlocks | PhasedBlocks, start: int = 0, inspected: InspectedSteps = NO_STEPS
    ) -> None:
        self.items = items
        self.start = start
        self.inspected = inspected

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        sample = (self.start + index) % len(self.items)  # a loader may prefetch beyond the last step
        item = self.items[sample]
        if self.inspected.has_sample(sample):
            item["segment_starts"] = self.items.segment_starts(sample)
        return item


class StreamDataset(IterableDataset):
    """Torch's type around a stream of blocks, which one process reads: the first data-loading worker, if there are any.

    The stream has processes of its own that encode the corpus, so that more readers would encode it several times and not
    be faster. Other workers yield nothing, and the loader continues without them: its batches are those of a loader without
    workers, in the same order.

    Args:
        is_read: False in a process that the first one sends its batches; its loader starts workers all the same.
        start: the block that comes first, where a resumed run is; see `StreamingBlocks.starting_at`.
        inspected: steps whose items keep the `segment_starts` of the stream.
    """

    def __init__(
        self,
        stream: StreamingBlocks,
        *,
        is_read: bool = True,
        start: int = 0,
        inspected: InspectedSteps = NO_STEPS,
    ) -> None:
        self.stream = stream
        self.is_read = is_read
        self.start = start
        self.inspected = inspected

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        if not self.is_read or (worker is not None and worker.id > 0):
            return
        if worker is not None:
            # the tokenizer's threads do not survive the fork; waiting for them would never end
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
        for sample, item in enumerate(self.stream.starting_at(self.start), self.start):
            if not self.inspected.has_sample(sample):
                item.pop("segment_starts", None)
            yield item


def training_dataset(views: Sequence[Blocks | StreamingBlocks], plan: Plan, first_step: int = 0) -> Dataset:
    """The dataset for Trainer, which begins after `first_step` steps, of what each phase trains on.

    Streams are read by the first process, which sends the others their batches, unless `accelerator_config.dispatch_batches`
    is off: then by each.
    """
    arguments = plan.arguments
    start = first_step * plan.arithmetic.effective_batch_size
    inspected = inspected_steps(plan.config.training, plan.arithmetic)
    blocks = views[0]
    if isinstance(blocks, StreamingBlocks):
        blocks.marks_segments = inspected.every is not None
        blocks.index_file = plan.run_dir / STREAM_INDEX
        blocks.writes_index = arguments.process_index == 0
        if arguments.accelerator_config.dispatch_batches is False:
            blocks.num_readers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            return StreamDataset(blocks, start=start, inspected=inspected)
        return StreamDataset(blocks, is_read=arguments.process_index == 0, start=start, inspected=inspected)
    stored = [view for view in views if isinstance(view, Blocks)]
    if len(stored) > 1:
        ends = [step * plan.arithmetic.effective_batch_size for step in plan.timetable.ends]
        return MapDataset(PhasedBlocks(stored, ends, arguments.seed), start, inspected)
    return MapDataset(OrderedBlocks(blocks, plan.arithmetic.num_samples, arguments.seed), start, inspected)
