"""Samples by hashes: independent of order, nested, and as large as asked for."""

import itertools

from phf.storage.hashing import hash64, sample_by_hash


def test_a_sample_is_the_items_of_the_smallest_hashes_in_their_order():
    items = [(50, 3, "a"), (10, 4, "b"), (40, 2, "c"), (20, 1, "d"), (30, 5, "e")]
    by_size = {size: sample_by_hash(items, size) for size in (1, 4, 5, 6, 10, 11, 12, 15, 99)}
    assert by_size == {
        1: ["b"],
        4: ["b"],
        5: ["b", "d"],
        6: ["b", "d", "e"],
        10: ["b", "d", "e"],
        11: ["b", "c", "d", "e"],
        12: ["b", "c", "d", "e"],
        15: ["a", "b", "c", "d", "e"],
        99: ["a", "b", "c", "d", "e"],
    }


def test_it_depends_on_nothing_but_the_hashes():
    items = [(50, 3, "a"), (10, 4, "b"), (40, 2, "c"), (20, 1, "d"), (30, 5, "e")]
    for some in itertools.permutations(items):
        assert set(sample_by_hash(some, 6)) == {"b", "d", "e"}


def test_of_equal_hashes_the_first_comes_first_and_items_are_never_compared():
    items = [(7, 1, {"n": number}) for number in range(5)]
    assert sample_by_hash(items, 2) == [{"n": 0}, {"n": 1}]
    assert sample_by_hash([], 5) == []


def test_its_items_are_spread_over_all():
    items = [(hash64("test", number), 1, number) for number in range(10_000)]
    sample = sample_by_hash(items, 1000)
    assert len(sample) == 1000
    assert all(
        80 < sum(start <= number < start + 1000 for number in sample) < 120 + 20 for start in range(0, 10_000, 1000)
    )
