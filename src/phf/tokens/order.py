"""The order in which training sees the blocks: a lookup, so that resuming needs no replay and no stored permutation."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import overload

import numpy as np

from phf.storage.hashing import hash64, splitmix64
from phf.tokens.views import Blocks

_NUM_ROUNDS = 6


class TrainingOrder(Sequence[int]):
    """Sample i of a run -> index of the block it trains on.

    Every epoch (`num_blocks` consecutive samples) is a different permutation of the block indices, a pure function of
    (seed, epoch, i). Nothing is stored, for any number of blocks.
    """

    def __init__(self, num_blocks: int, num_samples: int, seed: int) -> None:
        assert num_blocks > 0
        self._num_blocks = num_blocks
        self._num_samples = num_samples
        self._seed = seed

    def __len__(self) -> int:
        return self._num_samples

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._num_samples))]
        epoch, position = divmod(range(self._num_samples)[index], self._num_blocks)
        return permuted(position, self._num_blocks, round_keys(self._seed, epoch))


class OrderedBlocks:
    """Map-style dataset of a whole run: item i is the block that sample i trains on."""

    def __init__(self, blocks: Blocks, num_samples: int, seed: int) -> None:
        self.blocks = blocks
        self.order = TrainingOrder(len(blocks), num_samples, seed)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.blocks[self.order[index]]

    def segment_starts(self, index: int) -> np.ndarray:
        """Where segments begin in item `index`: see `Blocks.segment_starts`."""
        return self.blocks.segment_starts(self.order[index])


def permuted(position: int, size: int, round_keys: Sequence[int]) -> int:
    """Where a keyed pseudo-random permutation of range(size) sends `position`.

    A Feistel network on pairs below side * side, the smallest square that holds `size`, walks along its cycle until it
    lands below `size` again (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """
    side = math.isqrt(size - 1) + 1
    while True:
        left, right = divmod(position, side)
        for key in round_keys:
            left, right = right, (left + splitmix64(key ^ right)) % side
        position = left * side + right
        if position < size:
            return position


def permutation(size: int, round_keys: Sequence[int]) -> np.ndarray:
    """`permuted` of each position: int64 [size]."""
    side = math.isqrt(size - 1) + 1
    places = np.arange(size, dtype=np.int64)
    is_open = np.ones(size, bool)
    while is_open.any():
        left, right = np.divmod(places[is_open], side)
        for key in round_keys:
            words = splitmix64(right.view(np.uint64) ^ np.uint64(key))
            left, right = right, (left + (words % np.uint64(side)).astype(np.int64)) % side
        places[is_open] = left * side + right
        is_open[is_open] = places[is_open] >= size
    return places


@lru_cache(maxsize=16)
def round_keys(seed: int, epoch: int) -> tuple[int, ...]:
    """What makes the permutation of an epoch."""
    return tuple(hash64("order", seed, epoch, number) for number in range(_NUM_ROUNDS))
