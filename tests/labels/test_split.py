"""Held-out labels have no text, prompt or document in common with the others."""

import pytest

from phf.errors import CorpusError
from phf.labels.label import Pair, Rating
from phf.labels.split import connected, divide


def pair(chosen, rejected, prompt=""):
    return Pair(chosen, rejected, prompt, None)


def test_labels_are_connected_by_texts_prompts_and_documents():
    pairs = [
        pair("a", "b"),
        pair("c", "d"),
        pair("d", "a"),
        pair("e", "f", "p"),
        pair("g", "h", "p"),
        pair("i", "j", " "),
    ]
    assert connected(pairs).tolist() == [0, 0, 0, 1, 1, 2]
    ratings = [Rating(text, 0, None, document) for text, document in (("a", "1"), ("b", "1"), ("b", "2"), ("c", None))]
    assert connected(ratings).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_no_origin_is_on_both_sides(seed):
    labels = [pair(f"a{i // 3}", f"b{i}") for i in range(90)]
    division = divide(labels, 0.2, seed)
    assert sorted(division.train + division.held_out) == list(range(90))
    assert len(division.held_out) == 18
    origins = [{o for i in side for o in labels[i].origins} for side in (division.train, division.held_out)]
    assert not origins[0] & origins[1]


def test_the_division_depends_on_the_seed_alone():
    labels = [pair(f"a{i}", f"b{i}") for i in range(50)]
    assert divide(labels, 0.2, 1)[:2] == divide(labels, 0.2, 1)[:2]
    assert set(divide(labels, 0.2, 1).held_out) != set(divide(labels, 0.2, 2).held_out)


def test_labels_that_are_all_connected_cannot_be_divided():
    with pytest.raises(CorpusError, match="20 of the 20 labels are connected"):
        divide([pair("the same", f"b{i}") for i in range(20)], 0.2, 0)
