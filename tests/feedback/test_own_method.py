"""A user's own document filter or conditioning: used as it answers, and refused by name where it breaks its contract."""

import pickle

import numpy as np
import pytest
from tests.tiny import tiny_config

from phf.errors import ConfigError, MethodError
from phf.feedback import control_tokens_of, method_of
from phf.feedback.thresholds import (
    level_of,
    percentile_thresholds,
    tentative_method_of,
    with_stand_ins,
    with_thresholds,
)

HERE = "tests.feedback.own_methods"
TOKENS = ["<|good|>", "<|fair|>", "<|bad|>"]


def conditioned(name, tokens=TOKENS, **settings):
    class_name = name if ":" in name or ("." not in name and name == "ScoreThresholds") else f"{HERE}:{name}"
    return tiny_config(
        "x", **{"dataset.conditioning": {"class_name": class_name, "control_tokens": tokens, **settings}}
    )


def filtered(name, **settings):
    return tiny_config("x", **{"dataset.document_filter": {"class_name": f"{HERE}:{name}", **settings}})


def scores(*values):
    return np.array(values, np.float32)


def test_three_control_tokens_are_chosen_by_a_class():
    method = method_of(conditioned("ThreeWay", low=0.1, high=0.5))
    assert method.tags(scores(0.0, 0.1, 0.3, np.nan, 0.7)).tolist() == [0, 0, 1, -1, 2]
    assert method.control_tokens.names == tuple(TOKENS)


def test_the_best_token_is_the_prefix_and_all_are_special_tokens():
    config = conditioned("ThreeWay", low=0.1, high=0.5)
    assert control_tokens_of(config.dataset).names == tuple(TOKENS)
    assert config.generation.scenario_configs[0].prefix == "<|good|>"


def test_any_number_of_thresholds_divides_the_scores():
    method = method_of(conditioned("ScoreThresholds", ["a", "b", "c", "d"], thresholds=[0, 0.25, 0.5]))
    assert method.tags(scores(0, 0.1, 0.25, 0.3, 0.5, 9)).tolist() == [0, 1, 1, 2, 2, 3]


def test_one_threshold_is_conditional_training():
    changes = {"dataset.conditional_training_config.threshold": 0.2}
    released = method_of(tiny_config("x", "conditional", **changes))
    generic = method_of(conditioned("ScoreThresholds", ["<|aligned|>", "<|misaligned|>"], thresholds=[0.2]))
    values = np.random.default_rng(0).random(1000, np.float32)
    assert np.array_equal(released.tags(values), generic.tags(values))
    assert released.control_tokens == generic.control_tokens


@pytest.mark.parametrize(
    ("tokens", "thresholds", "message"),
    [
        (TOKENS, [0.5, 0.1], "thresholds must be one or more numbers in ascending order"),
        (TOKENS, [0.5, 0.500000001], r"thresholds 0.5 and 0.500000001 are the same in float32"),
        (TOKENS, [], "thresholds must be one or more numbers in ascending order"),
        (TOKENS, [0.5], "1 thresholds divide the scores among 2 control tokens, but control_tokens has 3"),
        (["a"], [0.1], "1 thresholds divide the scores among 2 control tokens, but control_tokens has 1"),
    ],
)
def test_thresholds_must_ascend_and_fit_the_tokens(tokens, thresholds, message):
    with pytest.raises(ConfigError, match=message):
        method_of(conditioned("ScoreThresholds", tokens, thresholds=thresholds))


def test_documents_are_kept_by_a_class():
    method = method_of(filtered("Between", low=0.1, high=0.5))
    assert method.keeps(scores(0.0, 0.3, 0.7, np.nan)).tolist() == [False, True, False, True]


def test_a_function_answers_as_a_class_does():
    method = method_of(conditioned("three_way", low=0.1))
    assert method.tags(scores(0.0, 0.3, np.nan, 0.7)).tolist() == [0, 1, -1, 2]
    assert pickle.loads(pickle.dumps(method)).tags(scores(0.7)).tolist() == [2]  # noqa: S301
    assert method_of(filtered("at_least", low=0.5)).keeps(scores(0.4, 0.5)).tolist() == [False, True]
    with pytest.raises(MethodError, match=r"^too_many returned 7 for the score 0; "):
        method_of(conditioned("too_many"))
    with pytest.raises(ConfigError, match=r"dataset\.conditioning.*low is missing: "):
        method_of(conditioned("three_way"))
    with pytest.raises(ConfigError, match=r"dataset\.conditioning.*lo is not a setting"):
        method_of(conditioned("three_way", low=0.1, lo=0.1))
    with pytest.raises(ConfigError, match="is a function without a return annotation"):
        method_of(conditioned("of_texts", texts="x"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "OutOfRange",
            r"OutOfRange.tags returned 3 for the score 10; dataset.conditioning.control_tokens has 3 \(<\|good\|>, "
            r"<\|fair\|>, <\|bad\|>\), so it must be from -1 \(none\) to 2",
        ),
        ("BelowNone", r"BelowNone.tags returned -2 for the score 0"),
        ("TooShort", r"TooShort.tags returned an array of shape \[27\]; it must have the shape of its scores, \[28\]"),
        ("TwoColumns", r"TwoColumns.tags returned an array of shape \[28, 2\]"),
        ("NotANumber", r"NotANumber.tags returned an array of float64, with NaN in it; it must return integers"),
        ("Floats", r"Floats.tags returned an array of float64; it must return integers"),
        ("Booleans", r"Booleans.tags returned an array of bool; it must return integers"),
        ("AList", r"AList.tags returned a list; it must return a numpy array"),
        ("Nothing", r"Nothing.tags returned a NoneType"),
        ("Ranks", r"Ranks.tags answers differently for the same score when other scores accompany it"),
    ],
)
def test_wrong_tags_are_refused_by_the_name_of_the_class(name, message):
    with pytest.raises(MethodError, match=message):
        method_of(conditioned(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TooShort", r"TooShort.keeps returned an array of shape \[27\]; it must have the shape of its scores, \[28\]"),
        ("Floats", r"Floats.keeps returned an array of float64; it must return one of bool"),
        ("NotANumber", r"NotANumber.keeps returned an array of float64"),
        ("AList", r"AList.keeps returned a list; it must return a numpy array"),
        ("Ranks", r"Ranks.keeps returned an array of int64; it must return one of bool"),
    ],
)
def test_wrong_answers_of_a_filter_are_refused_by_the_name_of_the_class(name, message):
    with pytest.raises(MethodError, match=message):
        method_of(filtered(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{HERE}:NoTags", r"is not a class with the method tags\(scores\), or a function of \(scores\), so it"),
        (f"{HERE}:Missing", "has no attribute 'Missing'"),
        ("os:system", "is in Python's standard library"),
        ("nowhere.at_all:ThreeWay", "cannot be imported"),
    ],
)
def test_what_is_not_a_conditioning_is_never_called(name, message):
    with pytest.raises(ConfigError, match=message):
        method_of(conditioned(name))


def test_an_unknown_or_missing_setting_names_its_key():
    with pytest.raises(ConfigError, match=r"dataset\.conditioning\.lo is not a setting"):
        method_of(conditioned("ThreeWay", lo=0.1, high=0.2))
    with pytest.raises(ConfigError, match=r"dataset\.document_filter\.high is missing"):
        method_of(filtered("Between", low=0.1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset.filter_threshold": 0.1}, "dataset.filter_threshold and dataset.document_filter are both set"),
        ({"dataset.document_filter": None, "dataset.filter_threshold": 0.1}, None),
    ],
)
def test_a_question_is_answered_once(changes, message):
    own = {"dataset.document_filter": {"class_name": f"{HERE}:Between", "low": 0, "high": 1}, **changes}
    if message is None:
        assert method_of(tiny_config("x", **own)).keeps(scores(0.0, 1.0)).tolist() == [True, False]
    else:
        with pytest.raises(ConfigError, match=message):
            tiny_config("x", **own)
    with pytest.raises(ConfigError, match=r"conditional_training_config and dataset\.conditioning are both set"):
        tiny_config(
            "x",
            "conditional",
            **{"dataset.conditioning": {"class_name": "ScoreThresholds", "control_tokens": ["a"], "thresholds": [0]}},
        )


def test_settings_may_be_percentiles_of_the_level_that_they_are_about():
    config = conditioned("ScoreThresholds", thresholds=["p33", "p66.5"])
    keys = {"dataset.conditioning.thresholds.0": "p33", "dataset.conditioning.thresholds.1": "p66.5"}
    assert percentile_thresholds(config) == keys
    assert {level_of(config, key) for key in keys} == {"segment"}
    resolved = with_thresholds(config, dict.fromkeys(keys, 0.25))
    assert resolved.dataset.conditioning.model_extra == {"thresholds": [0.25, 0.25]}
    assert method_of(resolved).tags(scores(0.25, 0.26)).tolist() == [0, 2]
    assert method_of(with_stand_ins(config)).tags(scores(0.3, 0.5, 0.7)).tolist() == [0, 1, 2]
    config = filtered("Between", low=0, high="p50")
    assert percentile_thresholds(config) == {"dataset.document_filter.high": "p50"}
    assert level_of(config, "dataset.document_filter.high") == "document"


@pytest.mark.parametrize("section", [{"thresholds": ["p50", 0.1]}, {"thresholds": [0, "p50"]}])
def test_numbers_beside_percentiles_are_compared_when_the_data_has_been_seen(section):
    config = conditioned("ScoreThresholds", **section)
    method = tentative_method_of(config)
    assert method.control_tokens.names == tuple(TOKENS)
    assert method.prompting.prefix == "<|good|>"
    (key,) = percentile_thresholds(config)
    assert method_of(with_thresholds(config, {key: 0.05})).tags(scores(0.0, 0.07, 0.2)).tolist()[0] == 0


def test_a_method_that_is_wrong_whatever_the_data_is_refused_before_it_is_read():
    with pytest.raises(ConfigError, match="must be one or more numbers in ascending order"):
        tentative_method_of(conditioned("ScoreThresholds", thresholds=["p66", "p33"]))
    with pytest.raises(MethodError, match=r"OutOfRange\.tags returned 3"):
        tentative_method_of(conditioned("OutOfRange"))
