"""Blocks as torch's datasets, for any number of processes and data-loading workers, and as batches."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from phf.feedback.objectives import IGNORE_INDEX, Objective
from phf.tokens.order import OrderedBlocks
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks
from phf.training.settings.arguments import Arithmetic


class Collator:
    """Blocks -> a batch: `input_ids`, `labels`, `token_scores`, each [batch, seq], and `documents`, [batch, 2].

    The first label is not a target, since nothing predicts it; marking it lets Trainer count targets exactly.
    Raises `CorpusError` for a score that the objective cannot use.
    """

    ignores_only_first = True
    """Whether all other labels are targets."""

    def __init__(self, objective: Objective | None = None) -> None:
        self.objective = objective

    def __call__(self, items: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        ids = torch.from_numpy(np.stack([item["input_ids"] for item in items]))
        labels = ids.clone()
        labels[:, 0] = IGNORE_INDEX
        scores = np.stack([item["token_scores"] for item in items])
        if self.objective is not None:
            self.objective.check_scores(scores, "a block of the training data")
        batch = {"input_ids": ids, "labels": labels, "token_scores": torch.from_numpy(scores)}
        if "documents" in items[0]:
            batch["documents"] = torch.from_numpy(np.stack([item["documents"] for item in items]))
        return batch


class MapDataset(Dataset):
    """Torch's type around blocks in the order of training."""

    def __init__(self, items: OrderedBlocks) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class StreamDataset(IterableDataset):
    """Torch's type around a stream of blocks; each data-loading worker gives every n-th batch of it.

    The loader takes a batch from each worker in turn, so the batches are those of a loader without workers, in the same
    order. Each worker encodes the whole stream: more than one is not faster.

    Args:
        group_size: consecutive blocks that the loader asks one worker for at a time.
    """

    def __init__(self, stream: StreamingBlocks, group_size: int) -> None:
        self.stream = stream
        self.group_size = group_size

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        if worker is None:
            yield from self.stream
            return
        # the tokenizer's threads do not survive the fork; waiting for them would never end
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.stream.num_readers = worker.num_workers
        blocks = iter(self.stream)
        while True:
            for number in range(worker.num_workers):
                group = islice(blocks, self.group_size)
                if number == worker.id:
                    yield from group
                else:
                    for _ in group:
                        pass


def training_dataset(
    blocks: Blocks | StreamingBlocks, arithmetic: Arithmetic, seed: int, splits_in_workers: bool
) -> Dataset:
    """The loader for Trainer.

    `splits_in_workers`: whether each process takes its share of the stream from a loader of its own, instead of being
    sent it by the first one.
    """
    if isinstance(blocks, StreamingBlocks):
        sharing = arithmetic.world_size if splits_in_workers else 1
        return StreamDataset(blocks, arithmetic.per_device_train_batch_size * sharing)
    return MapDataset(OrderedBlocks(blocks, arithmetic.num_samples, seed))
