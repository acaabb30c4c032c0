"""What the placement of control tokens means for levels, prompts and configurations."""

import json

import numpy as np
import pytest
from tests.tiny import tiny_config, tiny_tokenizer

from phf.config import load_config
from phf.errors import ConfigError
from phf.feedback import ControlTokens, Prompting, method_of, with_prompting
from phf.feedback.placement import at_openings, changes, levels_before
from phf.feedback.schedule import first_with_same_view, phase_configs
from phf.feedback.thresholds import level_of, tentative_method_of

TOKENS = ("<|good|>", "<|bad|>")
SECTION = {"class_name": "ScoreThresholds", "control_tokens": list(TOKENS), "thresholds": [0.1]}
TAGS = "dataset.conditional_training_config"


def conditioned(placement, **changes):
    return tiny_config("x", **{"dataset.conditioning": {**SECTION, "placement": placement}, **changes})


def prompting(placement, **parts):
    return Prompting(control_tokens=ControlTokens(TOKENS), placement=placement, **parts)


def test_the_level_in_force_is_that_of_the_last_segment_of_the_document_that_has_one():
    levels = np.array([[0, -1, 0, 1, -1, 1, -1, 0], [-1, 2, -1, 2, 2, 3, 3, -1]], np.int8)
    opens = np.array([0, 0, 0, 0, 1, 0, 0, 1], bool)
    before = levels_before(levels, opens, np.array([1, -1], np.int8))
    assert before.tolist() == [[1, 0, 0, 0, -1, -1, 1, -1], [-1, -1, 2, 2, -1, 2, 3, -1]]
    assert changes(levels, before).tolist() == [[0, -1, -1, 1, -1, 1, -1, 0], [-1, 2, -1, -1, 2, 3, -1, -1]]
    assert levels_before(levels, opens)[0, 0] == -1
    assert levels_before(np.empty((2, 0), np.int8), np.empty(0, bool)).shape == (2, 0)
    assert changes(levels, before).dtype == np.int8


def test_a_document_has_one_score_at_its_beginning():
    scores = at_openings(np.array([0, 1, 0, 1], bool), np.array([0.5, np.nan], np.float32))
    np.testing.assert_array_equal(scores, np.float32([np.nan, 0.5, np.nan, np.nan]))


def test_what_is_not_said_stands_before_each_segment():
    method = method_of(tiny_config("x", "conditional"))
    assert method.placement == method.prompting.placement == "before_segment"
    assert method_of(conditioned("on_change")).placement == "on_change"
    assert tentative_method_of(conditioned("after_segment")).prompting.placement == "after_segment"


@pytest.mark.parametrize("placement", ["on_change", "before_document"])
def test_where_a_text_begins_with_a_token_it_is_prompted_with_the_best_and_none_is_sampled(placement):
    config = conditioned(placement)
    assert config.generation.scenario_configs[0].prefix == "<|good|>"
    of_model = method_of(config).prompting
    assert (of_model.prefix, of_model.can_steer, of_model.banned("<|good|>")) == ("<|good|>", True, TOKENS)
    key = "dataset.conditioning.tag_every_segment_when_sampling"
    with pytest.raises(ConfigError, match=rf"{key} is true, but dataset.conditioning.placement is {placement}"):
        conditioned(placement, **{key: True})


def test_where_tokens_follow_segments_texts_begin_without_one_and_the_model_writes_them_itself():
    config = conditioned("after_segment")
    assert config.generation.scenario_configs[0].prefix is None
    of_model = method_of(config).prompting
    assert (of_model.prefix, of_model.can_steer, of_model.starts_texts) == (None, False, False)
    assert of_model.banned(None) == ()  # in training it predicts one after each segment
    assert of_model.repeated_ids(tiny_tokenizer(TOKENS)) == []
    without = method_of(conditioned("after_segment", **{"dataset.conditioning.tag_every_segment_when_sampling": False}))
    assert without.prompting.banned(None) == TOKENS
    assert of_model.preferring("none").prefix is None
    with pytest.raises(ConfigError, match=r"generation.prefer is 'worst', but this model's control tokens follow"):
        of_model.preferring("worst")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generation.prefer", "best", r"generation.prefer is 'best'"),
        ("generation.scenario_configs.0.prefix", "<|good|>", r"'unconditional': prefix is '<\|good\|>'"),
        ("generation.scenario_configs.0.guidance_scale", 2.0, r"'unconditional': guidance_scale is '2'"),
    ],
)
def test_what_needs_a_prefix_is_refused_where_texts_begin_without_one(key, value, message):
    with pytest.raises(ConfigError, match=rf"{message}, but dataset.conditioning.placement is after_segment.*Leave it"):
        conditioned("after_segment", **{key: value})
    empty = conditioned("after_segment", **{"generation.prefer": "none", "generation.scenario_configs.0.prefix": ""})
    assert empty.generation.scenario_configs[0].prefix == ""


def test_a_wrong_placement_is_refused_with_the_ones_there_are():
    with pytest.raises(
        ConfigError, match=r"placement.*'before_segment', 'on_change', 'before_document' or 'after_segm"
    ):
        conditioned("before")
    with pytest.raises(ConfigError, match="placement"):
        tiny_config("x", "conditional", **{f"{TAGS}.placement": "once"})
    preference = {"name": "pep8", "thresholds": [0], "placement": "on_change"}
    with pytest.raises(ConfigError, match="placement"):  # a key of the section, for all preferences
        method_of(tiny_config("x", **{"dataset.conditioning": {"preferences": [preference]}}))


@pytest.mark.parametrize("placement", ["on_change", "before_document", "after_segment"])
def test_a_configuration_is_read_back_as_it_was_saved(placement, tmp_path):
    from phf.config import dump_config

    config = conditioned(placement)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0] == config


def test_percentiles_are_of_documents_where_a_document_has_one_token():
    key = f"{TAGS}.threshold"
    levels = {}
    for placement in ("before_segment", "on_change", "before_document", "after_segment"):
        values = {f"{TAGS}.placement": placement, key: "p50", f"{TAGS}.tag_every_segment_when_sampling": False}
        levels[placement] = level_of(tiny_config("x", "conditional", **values), key)
    assert levels == {**dict.fromkeys(levels, "segment"), "before_document": "document"}
    quantiles = {"kind": "quantiles", "num_bins": 3, "placement": "before_document"}
    config = tiny_config(
        "x", **{"dataset.conditioning": quantiles, "objective": {"name": "Masking", "score_threshold": 0}}
    )
    assert level_of(config, "dataset.conditioning.edges.1") == "document"
    assert level_of(config, "objective.score_threshold") == "segment"


def test_phases_may_differ_in_the_placement_and_the_last_one_prompts():
    change = {TAGS.split(".")[1]: {"placement": "on_change", "tag_every_segment_when_sampling": False}}
    phases = [{"until": 0.5, "method": "conditional"}, {"method": "conditional", "dataset": change}]
    config = tiny_config("x", None, schedule=phases)
    assert [own.dataset.tagging.placement for own in phase_configs(config)] == ["before_segment", "on_change"]
    assert first_with_same_view(config) == [0, 1]
    assert method_of(config).prompting.placement == "on_change"


@pytest.mark.parametrize("placement", ["on_change", "before_document", "after_segment"])
def test_an_export_says_where_its_tokens_stood(placement, tmp_path):
    prompting(placement, threshold=0.1).save(tmp_path, ["<|endoftext|>"])
    read = Prompting.load(tmp_path)
    assert read.placement == placement
    held_out = method_of(with_prompting(tiny_config("x", "mle"), read))
    assert (held_out.placement, held_out.control_tokens.names) == (placement, TOKENS)
    prompting("before_segment").save(tmp_path, ["<|endoftext|>"])
    assert "placement" not in json.loads((tmp_path / "phf.json").read_text())  # as files of earlier versions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"placement": "on_chance"}, r"'placement' is 'on_chance'. Did you mean 'on_change'"),
        ({"placement": 3}, "placement"),
        ({"placement": "after_segment", "preferred": "<|good|>"}, "'preferred' is '<|good|>', but this model's"),
    ],
)
def test_a_damaged_placement_is_refused_with_its_file(values, message, tmp_path):
    content = {"control_tokens": list(TOKENS), "tag_every_segment_when_sampling": False, **values}
    (tmp_path / "phf.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message) as error:
        Prompting.load(tmp_path)
    assert str(tmp_path / "phf.json") in str(error.value)
