"""Groups of documents that are held out: a given share of the text, none of it large, and steady when groups are added."""

import numpy as np
import pytest

from phf.errors import CorpusError
from phf.tokens.held_out_groups import describe_held_out, held_out_groups


def corpus(sizes, seed=0):
    """(group, bytes) of each document of groups of some sizes; each group has a few documents, all in a random order."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(hashes_of(len(sizes)), 4)
    num_bytes = np.repeat(np.array(sizes) // 4, 4)
    order = rng.permutation(len(groups))
    return groups[order], num_bytes[order]


def hashes_of(number):
    return np.random.default_rng(5).integers(0, 2**63, number).astype(np.uint64)


def share_of(groups, num_bytes, held_out):
    return num_bytes[np.isin(groups, held_out)].sum() / num_bytes.sum()


POWER_LAW = [4 * int(100_000 / rank) for rank in range(1, 301)]
"""The largest of 300 groups has 16% of the text, the largest three 29%."""


@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.1])
def test_held_out_text_has_the_share_and_no_group_dominates_it(fraction):
    groups, num_bytes = corpus(POWER_LAW)
    held_out = held_out_groups(groups, num_bytes, fraction)
    assert share_of(groups, num_bytes, held_out) == pytest.approx(fraction, rel=0.05)
    sizes = [num_bytes[groups == group].sum() for group in held_out]
    assert max(sizes) <= 0.11 * sum(sizes)
    assert len(held_out) < 150


def test_the_order_of_documents_does_not_matter():
    first, second = (held_out_groups(*corpus(POWER_LAW, seed), 0.05) for seed in (1, 2))
    assert np.array_equal(first, second)


def test_a_group_more_changes_few_others():
    groups, num_bytes = corpus(POWER_LAW)
    held_out = set(held_out_groups(groups, num_bytes, 0.05).tolist())
    for size in (400, 40_000, 400_000):  # the last one is as large as the largest
        more = held_out_groups(np.append(groups, np.uint64(12345)), np.append(num_bytes, size), 0.05)
        assert len(held_out ^ (set(more.tolist()) - {12345})) <= 0.15 * len(held_out)


def test_by_hand():
    # bytes by group in the order of the hashes; 60 of 300 are wanted, and no group is a tenth of that. The smallest of
    # at least 120 bytes are those of at most 40: 20, 30, 40, 40. Of them 20 + 40 = 60 is nearest.
    groups = np.array([1, 2, 3, 4, 5, 6], np.uint64)
    num_bytes = np.array([20, 90, 40, 30, 80, 40])
    assert held_out_groups(groups, num_bytes, 0.2).tolist() == [1, 3]


def test_large_groups_are_held_out_if_there_is_nothing_else_but_never_the_largest_or_all():
    groups, num_bytes = np.array([1, 2, 3], np.uint64), np.array([50, 100, 60])
    assert held_out_groups(groups, num_bytes, 0.05).tolist() == [1]
    assert held_out_groups(groups, num_bytes, 0.99).tolist() == [1, 3]
    assert held_out_groups(groups[1:], num_bytes[1:], 0.05).tolist() == [3]
    assert held_out_groups(groups, np.array([7, 7, 7]), 0.5).tolist() == [2], "of two that are as near, fewer"


@pytest.mark.parametrize("groups", [[], [9], [9, 9, 9]])
def test_one_group_cannot_be_divided(groups):
    with pytest.raises(CorpusError, match=r"same value of dataset\.eval_group"):
        held_out_groups(np.array(groups, np.uint64), np.ones(len(groups), np.int64), 0.05)


def test_it_is_described():
    groups, num_bytes = np.array([1, 1, 2, 3], np.uint64), np.array([1, 2, 3, 6])
    said = describe_held_out(groups, num_bytes, np.array([1], np.uint64), "package")
    assert said == "Held out by package: 1 of 3 values, 25.0% of the text"
