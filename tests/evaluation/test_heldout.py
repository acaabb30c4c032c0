"""Held-out loss, from numbers written down by hand."""

import math

import numpy as np
import pytest
import torch

from phf.evaluation.held_out.loss import held_out_loss

EOS, ALIGNED, MISALIGNED = 0, 8, 9


class Blocks:
    """Blocks in memory; remembers which were read."""

    def __init__(self, ids, scores):
        self.ids, self.scores, self.read = np.array(ids), np.array(scores, np.float32), []

    def __len__(self):
        return len(self.ids)

    def block(self, index):
        self.read.append(index)
        return self.ids[index], self.scores[index]


class Stub(torch.nn.Module):
    """Its nll of a token is its id in nats (EOS: 10)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches = []

    def token_nll(self, input_ids, labels):
        assert not self.training
        self.batches.append(len(labels))
        nll = torch.where(labels == EOS, 10, labels).float()
        nll[:, 0] = torch.nan
        return nll


def measure(blocks, **changes):
    settings = {
        "threshold": 0.0,
        "control_ids": [ALIGNED, MISALIGNED],
        "eos_id": EOS,
        "bytes_per_text_token": 2.0,
        "batch_size": 2,
    }
    return held_out_loss(Stub(), blocks, **{**settings, **changes})


def test_every_number_by_hand():
    """Targets are all but the first token of a block.

    Block 0: 8 | 1 2 (aligned) 0 9 3 (misaligned) -> nats 1, 2, 10 (EOS), 9 (control), 3.
    Block 1: 5 | 4 (unscored) 6 (aligned) 7 (misaligned) 8 1 (aligned) -> nats 4, 6, 7, 8 (control), 1.
    Text: 1 + 2 + 3 + 4 + 6 + 7 + 1 = 24 on 7 tokens, 14 bytes; EOS 10; control 9 + 8 = 17.
    """
    nan = math.nan
    blocks = Blocks(
        [[ALIGNED, 1, 2, EOS, MISALIGNED, 3], [5, 4, 6, 7, ALIGNED, 1]],
        [[0, 0, 0, 0.5, 0.5, 0.5], [nan, nan, 0, 0.1, 0, 0]],
    )
    assert measure(blocks) == pytest.approx(
        {
            "loss": (24 + 10) / (7 + 1),
            "loss_aligned": (1 + 2 + 6 + 1) / 4,
            "loss_misaligned": (3 + 7) / 2,
            "bits_per_byte": (24 + 10 + 17) / 14 / math.log(2),
            "bits_per_byte_given_tags": (24 + 10) / 14 / math.log(2),
            "num_tokens": 7,
        }
    )
    with_interval = measure(blocks, with_interval=True)
    # documents: 1 2 with 3 nats on 2 tokens; EOS 3 | 4 6 7 1 with 31 on 6: influences (3 - 4.25 * 2) / 8 and its negative
    error = math.sqrt(2 * (5.5 / 8) ** 2)
    low, high = (with_interval[f"loss_{end}"] for end in ("low", "high"))
    assert low < 4.25 - error < 4.25 + error < high
    assert {key: value for key, value in with_interval.items() if key not in ("loss_low", "loss_high")} == measure(
        blocks
    )
    without = measure(blocks, control_ids=[])  # then 8 and 9 are words like any other
    assert without["loss"] == pytest.approx((24 + 10 + 17) / 10)
    assert without["bits_per_byte"] == without["bits_per_byte_given_tags"]


def test_threshold_is_inclusive_in_float32():
    blocks = Blocks([[1, 2, 3]], [[0, 0.1, 0.2]])
    numbers = measure(blocks, threshold=0.1)
    assert (numbers["loss_aligned"], numbers["loss_misaligned"]) == (2, 3)


def test_a_class_without_tokens_is_nan():
    numbers = measure(Blocks([[1, 2, 3]], [[0, 0, 0]]))
    assert numbers["loss_aligned"] == 2.5
    assert math.isnan(numbers["loss_misaligned"])


def test_every_block_counts():
    blocks = Blocks([[1, 2, 3]] * 10, [[0, 0, 0]] * 10)
    assert measure(blocks)["num_tokens"] == 20


def test_batches_do_not_change_the_numbers():
    blocks = Blocks([[1, 2, 3], [4, 5, 6], [7, 1, 2]], [[0, 0, 1]] * 3)
    assert measure(blocks, batch_size=1) == pytest.approx(measure(blocks, batch_size=8))


def test_the_mode_of_the_module_is_restored():
    module = Stub().train()
    settings = {"threshold": 0.0, "control_ids": [], "eos_id": 0, "bytes_per_text_token": 1.0}
    held_out_loss(module, Blocks([[1, 2]], [[0, 0]]), **settings, batch_size=1)
    assert module.training


def test_documents_that_cross_batches_are_one_cluster():
    """A document of two and a half blocks, and one of one and a half: the same interval, whichever blocks are a batch."""
    blocks = Blocks([[EOS, 1, 3, 2], [2, 1, 3, 2], [2, EOS, 5, 5], [5, 5, 5, 5]], [[0] * 4] * 4)
    one_at_a_time, all_at_once = (measure(blocks, with_interval=True, batch_size=size) for size in (1, 4))
    assert one_at_a_time == pytest.approx(all_at_once, nan_ok=True)
    assert one_at_a_time["loss_low"] < one_at_a_time["loss"] < one_at_a_time["loss_high"]
    alone = measure(Blocks(blocks.ids[:2], blocks.scores[:2]), with_interval=True)
    assert math.isnan(alone["loss_low"]), "a single document does not tell how certain its loss is"
