"""Hiding: which tokens of a block are hidden, and what the configuration makes of it."""

import numpy as np
import pytest
from tests.tiny import tiny_config

from phf.errors import ConfigError
from phf.feedback import method_of, threshold_of, with_prompting
from phf.feedback.hiding import hidden_numbers
from phf.feedback.schedule import first_with_same_view, hides_segments, phase_configs
from phf.feedback.thresholds import level_of, percentile_thresholds, tentative_method_of
from phf.refresh.start import check_uses_scores


def test_a_segment_above_the_threshold_is_hidden_without_what_opens_its_document():
    # the end of a segment, one more, a document with a bad segment, one without a score, and a bad one
    scores = np.float32([0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9, np.nan, 0.2])
    starts = np.array([0, 0, 1, 0, 1, 0, 0, 1, 1], bool)
    is_opening = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0], bool)
    numbers = hidden_numbers(scores, starts, is_opening, 0.1)
    assert numbers.tolist() == [1, 1, 0, 0, 0, 3, 3, 0, 5]
    assert numbers.dtype == np.int32
    assert hidden_numbers(scores, starts, is_opening, 0.9).tolist() == [0] * 9


def test_two_hidden_neighbours_are_two():
    numbers = hidden_numbers(np.float32([1, 1, 1, 1]), np.array([1, 0, 1, 0], bool), np.zeros(4, bool), 0)
    assert numbers.tolist() == [2, 2, 3, 3]  # 1 would be one that continues from the block before


def test_the_threshold_is_a_number_or_a_percentile_of_segments_and_part_of_a_phase():
    method = method_of(tiny_config("x", **{"dataset.hidden_threshold": 0.25}))
    assert (method.hidden_threshold, threshold_of(method)) == (0.25, 0.25)
    assert method_of(tiny_config("x")).hidden_threshold is None
    config = tiny_config("x", "hiding")
    assert percentile_thresholds(config) == {"dataset.hidden_threshold": "p50"}
    assert level_of(config, "dataset.hidden_threshold") == "segment"
    assert tentative_method_of(config).hidden_threshold is not None
    phases = tiny_config("x", None, schedule=[{"until": 0.5, "method": "hiding"}, {"method": "mle"}])
    assert [own.dataset.hidden_threshold for own in phase_configs(phases)] == ["p50", None]
    assert first_with_same_view(phases) == [0, 1]
    assert hides_segments(phases)
    assert not hides_segments(tiny_config("x"))


def test_held_out_text_is_not_hidden_and_samples_may_refresh_it():
    config = tiny_config("x", **{"dataset.hidden_threshold": 0})
    assert with_prompting(config, method_of(config).prompting).dataset.hidden_threshold is None
    check_uses_scores(method_of(config))
    with pytest.raises(ConfigError, match="masking, hiding"):
        check_uses_scores(method_of(tiny_config("x")))


@pytest.mark.parametrize("value", ["p101", "half", True])
def test_what_is_not_a_threshold_is_refused(value):
    with pytest.raises(ConfigError, match="hidden_threshold"):
        tiny_config("x", **{"dataset.hidden_threshold": value})
