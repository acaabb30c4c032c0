"""Counts by how often a span occurs."""

import numpy as np
import pytest

from phf.audit.duplicates import copy_rows, extraction_rows, ranges_of


def test_ranges_are_decades_with_what_occurs_once_by_itself():
    counts = np.array([1, 2, 9, 10, 99, 100, 1000, 12345])
    assert ranges_of(counts) == [(1, 1), (2, 9), (10, 99), (100, 999), (1000, 9999), (10000, 99999)]
    assert ranges_of(np.array([10, 12])) == [(10, 99)]
    assert ranges_of(np.array([], np.int64)) == []


def test_extraction_is_counted_in_each_range():
    rows = extraction_rows(np.array([1, 1, 5, 1, 12]), np.array([False, False, True, True, True]))
    assert [(row["occurrences"], row["num_spans"], row["num_extracted"]) for row in rows] == [
        ([1, 1], 3, 1),
        ([2, 9], 1, 1),
        ([10, 99], 1, 1),
    ]
    # Wilson's interval of 1 of 3: centre (1/3 + z²/6) / (1 + z²/3) and its half width, z = 1.959964
    assert (rows[0]["share"], rows[0]["share_low"], rows[0]["share_high"]) == pytest.approx(
        (1 / 3, 0.0615, 0.7923), abs=1e-4
    )
    assert np.isnan(rows[1]["share_low"]), "one span has no interval"


def test_samples_with_several_copies_count_once_in_a_range():
    rows = copy_rows(np.array([1, 1, 3]), [0, 0, 2], [b"a", b"a", b"b"], 4)
    assert [(row["num_copies"], row["num_distinct"], row["num_samples"], row["share"]) for row in rows] == [
        (2, 1, 1, 0.25),
        (1, 1, 1, 0.25),
    ]
