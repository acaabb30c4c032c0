"""A method composed from a configuration: which documents it keeps, and which control token it puts where."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from tests.tiny import tiny_config

from phf.errors import ConfigError
from phf.feedback import ControlTokens, Method, method_of

NAN = np.nan


def scores(*values):
    return np.array(values, np.float32)


def test_mle_keeps_every_document_and_has_no_control_tokens():
    method = method_of(tiny_config("x"))
    assert method.keeps(scores(0.0, 5.0, NAN)).tolist() == [True, True, True]
    assert method.tags(scores(0.0, 5.0, NAN)).tolist() == [-1, -1, -1]
    assert len(method.control_tokens) == 0
    assert method.control_tokens.best is None


def test_filtering_keeps_documents_up_to_the_threshold_and_those_without_a_score():
    method = method_of(tiny_config("x", "filtering", **{"dataset.filter_threshold": 0.1}))
    # 0.1 is not a float32: what is stored for it counts as equal
    assert method.keeps(scores(0.05, 0.1, 0.11, NAN)).tolist() == [True, True, False, True]


def test_conditional_training_tags_a_segment_by_the_side_of_the_threshold():
    changes = {"dataset.conditional_training_config.threshold": 0.1}
    method = method_of(tiny_config("x", "conditional", **changes))
    tags = method.tags(scores(0.0, 0.1, 0.11, NAN))
    assert tags.tolist() == [0, 0, 1, -1]
    assert tags.dtype == np.int8
    assert method.control_tokens.names == ("<|aligned|>", "<|misaligned|>")
    assert method.control_tokens.best == "<|aligned|>"


def test_a_method_travels_to_other_processes():
    method = method_of(tiny_config("x", "conditional"))
    again = pickle.loads(pickle.dumps(method))  # noqa: S301
    assert again.tags(scores(0.0, 1.0)).tolist() == [0, 1]
    assert again.control_tokens == method.control_tokens


def test_the_objective_is_that_of_the_configuration():
    assert type(method_of(tiny_config("x", "awr")).objective).__name__ == "AWR"
    assert type(Method().objective).__name__ == "MLE"


def test_composing_a_method_loads_no_torch():
    code = "import sys, phf.feedback; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "away"), [("a", "c"), ("b", "c"), ("c", "a"), ("", None), (None, None), ("other", None)]
)
def test_one_steers_away_from_the_worst_token_and_from_the_worst_to_the_best(name, away):
    assert ControlTokens(("a", "b", "c")).opposite(name) == away


def test_a_single_control_token_has_no_opposite():
    assert ControlTokens(("a",)).opposite("a") is None


@pytest.mark.parametrize("names", [("a", "a"), ("a", "")])
def test_control_tokens_have_different_names_that_are_not_empty(names):
    with pytest.raises(ConfigError, match="must be different strings, none of them empty"):
        ControlTokens(names)
