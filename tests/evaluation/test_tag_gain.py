"""Whether a conditional model has learned its tags, from numbers written down by hand."""

import math

import numpy as np
import pytest
import torch
from tests.evaluation.test_heldout import ALIGNED, EOS, MISALIGNED, Blocks
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.evaluation.held_out.loss import held_out_loss
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM

SETTINGS = {"threshold": 0.0, "eos_id": EOS, "bytes_per_text_token": 1.0, "batch_size": 2}


class Tagged(torch.nn.Module):
    """Its nll of a token is the token's id, plus a tenth of the id of the last control token before it."""

    def __init__(self, control):
        super().__init__()
        self.weight, self.control = torch.nn.Parameter(torch.zeros(1)), torch.tensor(control)

    def token_nll(self, input_ids, labels):
        places = torch.where(torch.isin(input_ids, self.control), torch.arange(input_ids.size(1)), -1)
        last = places.cummax(1).values
        tag = torch.where(last >= 0, input_ids.gather(1, last.clamp(min=0)), 0)
        nll = labels.float() + tag / 10
        nll[:, 0] = torch.nan
        return nll


def measure(ids, control, **changes):
    blocks = Blocks(ids, np.zeros(np.shape(ids)))
    numbers = held_out_loss(Tagged(control), blocks, control_ids=control, with_tag_gain=True, **{**SETTINGS, **changes})
    return [numbers.get(f"tag_gain{end}") for end in ("", "_low", "_high")]


def test_the_gain_by_hand():
    """Document 1: 1 and 2 after 8, which 9 replaces: +0.1 each. Document 2: 3 after 9: -0.1. Before a
    document's first tag in the block, nothing counts (7, 5). The mean is (0.2 - 0.1) / 3."""
    mean, low, high = measure([[EOS, ALIGNED, 1, 2, EOS], [7, 7, EOS, MISALIGNED, 3], [5, EOS, 7, EOS, 7]], [8, 9])
    assert mean == pytest.approx(0.1 / 3, abs=1e-6)
    assert low < mean < high


def test_a_document_continues_in_the_next_block_but_not_across_a_gap():
    """All blocks: two documents, of 3 and 1 tokens. Every other one: what follows the gap has no tag of its own."""
    ids = [[EOS, ALIGNED, 1, 2], [1, EOS, MISALIGNED, 3]]
    mean, low, high = measure(ids, [8, 9], batch_size=1)
    assert mean == pytest.approx((0.2 - 0.1) / 3)  # the 1 of the second block has no tag in it
    t = 12.7062  # two documents: Student's t with 1 degree of freedom
    of_one = (0.1 - -0.1) ** 2 / 2  # variance of the documents' means, which count for 2/3 and 1/3
    assert high - mean == pytest.approx(t * math.sqrt(of_one * 5 / 9), rel=1e-4)
    assert low == pytest.approx(2 * mean - high)


def test_more_than_two_tags_are_replaced_by_the_next():
    """8 -> 9, 9 -> 7, 7 -> 8: +0.1, -0.2, +0.1 on one token each."""
    mean, *_ = measure([[EOS, 8, 1, EOS, 9, 1, EOS, 7, 1]], [7, 8, 9])
    assert mean == pytest.approx(0.0)
    mean, *_ = measure([[EOS, 8, 1, EOS, 7, 1]], [7, 8, 9])
    assert mean == pytest.approx(0.1)


def test_without_two_tags_no_gain_is_measured():
    assert measure([[EOS, 1, 2]], []) == [None] * 3
    assert measure([[EOS, 8, 2]], [8]) == [None] * 3
    assert all(math.isnan(number) for number in measure([[EOS, 1, 2]], [8, 9]))  # no tag anywhere


def test_the_gain_is_that_of_the_losses_of_a_model():
    """Of a real model: the loss of the swapped blocks minus that of the right ones, over the same tokens."""
    tokenizer = tiny_tokenizer(("<|a|>", "<|m|>"))
    a, m = tokenizer.convert_tokens_to_ids(["<|a|>", "<|m|>"])
    module = ObjectiveLM(tiny_lm("gpt2", tokenizer), MLE())
    generator = np.random.default_rng(0)
    right = np.array([[0, a, *generator.integers(5, 50, 6), m, *generator.integers(5, 50, 7)] for _ in range(6)])
    wrong = np.where(right == a, m, np.where(right == m, a, right))
    settings = {**SETTINGS, "control_ids": [a, m]}
    losses = [
        held_out_loss(module, Blocks(ids, np.zeros(ids.shape)), with_tag_gain=True, **settings)
        for ids in (right, wrong)
    ]
    assert losses[0]["tag_gain"] == pytest.approx(losses[1]["loss"] - losses[0]["loss"], rel=1e-4)
    assert losses[1]["tag_gain"] == pytest.approx(-losses[0]["tag_gain"], rel=1e-4)
    assert losses[0]["tag_gain_low"] < losses[0]["tag_gain"] < losses[0]["tag_gain_high"]


def test_a_model_whose_documents_start_with_bos_is_measured_document_by_document():
    """BOS 6 opens documents: each part is read behind it, and the gain is the same."""
    ids = [[6, ALIGNED, 1, 2, 6, MISALIGNED, 3, 4]]
    mean, *_ = measure(ids, [8, 9], start_ids=[6])
    assert mean == pytest.approx((0.2 - 0.2) / 4, abs=1e-6)
