"""Every epoch is a permutation of the blocks that is computed, not stored."""

import numpy as np
import pytest

from phf.tokens.order import OrderedBlocks, TrainingOrder


@pytest.mark.parametrize("size", [1, 2, 3, 10, 17, 100, 1000])
def test_each_epoch_is_a_permutation_of_its_own(size):
    order = TrainingOrder(size, 3 * size, seed=1)
    epochs = [order[epoch * size : (epoch + 1) * size] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(size))
    if size >= 10:
        assert epochs[0] != epochs[1]
        assert epochs[0] != TrainingOrder(size, size, seed=2)[:]


def test_resuming_is_a_lookup():
    blocks = [{"input_ids": np.array([i])} for i in range(7)]
    whole, again = (OrderedBlocks(blocks, 100, seed=3) for _ in range(2))
    items = [whole[i]["input_ids"].item() for i in range(100)]
    assert again[73]["input_ids"].item() == items[73]
    assert sorted(items[:7]) == list(range(7))
