"""Krippendorff's alpha of what annotators have in common."""

import pytest

from phf.errors import CorpusError
from phf.labels.agreement import agreement, alike
from phf.labels.journal import Entry

# Krippendorff's own example (Computing Krippendorff's Alpha-Reliability, 2011, section C; without the fourth observer)
CODED = [
    [None, None, None, None, None, 3, 4, 1, 2, 1, 1, 3, 3, None, 3],
    [1, None, 2, 1, 3, 3, 4, 3, None, None, None, None, None, None, None],
    [None, None, 2, 1, 3, 4, 4, None, 2, 1, 1, 3, 3, None, 4],
]


def rating(annotator, text, value, **more):
    return Entry("f, line 1", {"annotator": annotator, "text": text, "rating": value, "scale": [1, 4], **more})


def pair(annotator, chosen, rejected):
    return Entry("f, line 1", {"annotator": annotator, "chosen": chosen, "rejected": rejected})


def test_alpha_of_ratings_is_the_published_interval_alpha():
    entries = [
        rating(str(coder), str(unit), value)
        for coder, row in enumerate(CODED)
        for unit, value in enumerate(row)
        if value is not None
    ]
    (of_ratings,) = agreement(entries)
    assert of_ratings.alpha == pytest.approx(0.810845, abs=1e-6)
    assert of_ratings.num_common == 12
    assert of_ratings.annotators == ["0", "1", "2"]


def test_alpha_of_pairs_does_not_depend_on_the_order_in_which_texts_were_shown():
    entries = [pair(annotator, c, r) for c, r in ("ab", "dc", "ef", "hg") for annotator in "xy"]
    (of_pairs,) = agreement(entries)
    assert (of_pairs.kind, of_pairs.alpha) == ("pairs", 1.0)
    (opposed,) = agreement([*(pair("x", c, r) for c, r in ("ab", "dc")), *(pair("y", r, c) for c, r in ("ab", "dc"))])
    # observed disagreement 1; expected, of two and two among four: 2/3
    assert opposed.alpha == pytest.approx(1 - 1 / (2 / 3))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([rating("a", "t", 1), rating("a", "u", 2)], "only one annotator"),
        ([rating("a", "t", 1), rating("b", "u", 2)], "no question was answered by two"),
        ([rating("a", "t", 1), rating("b", "t", 1)], "all common answers are the same"),
    ],
)
def test_where_alpha_is_not_defined_there_is_a_reason(entries, reason):
    (of_ratings,) = agreement(entries)
    assert of_ratings.alpha is None
    assert reason in of_ratings.reason


def test_the_last_answer_counts_and_skipped_ones_do_not():
    entries = [rating("a", "t", 1), rating("a", "t", 4), rating("b", "t", 4), rating("a", "u", 1), rating("b", "u", 1)]
    skipped = Entry("f", {"annotator": "c", "skipped": True, "texts": ["t"]})
    (of_ratings,) = agreement([*entries, skipped])
    assert (of_ratings.alpha, of_ratings.annotators) == (1.0, ["a", "b"])


def test_labels_without_annotator_are_refused():
    with pytest.raises(CorpusError, match="f, line 1: 'annotator' is missing"):
        agreement([rating(None, "t", 1)])


@pytest.mark.parametrize("meaning", [None, 0, "no"])
def test_a_rating_that_does_not_say_which_end_is_bad_is_refused(meaning):
    with pytest.raises(CorpusError, match=r"f, line 1: 'higher_is_worse' is .*; true or false was expected"):
        agreement([rating("a", "t", 1), rating("b", "t", 1, higher_is_worse=meaning)])


def test_no_labels_have_no_agreement():
    assert agreement([]) == []


def test_names_that_may_be_one_person_are_found():
    names = ["ann", "Ann", "bob", " bob  b", "Bob B", "cy", "\uff43y", "ann"]
    assert alike(names) == [(" bob  b", "Bob B"), ("Ann", "ann"), ("cy", "\uff43y")]
    assert alike(["ann", "anna"]) == []
