"""What all sections of a configuration have in common."""

import pytest
from pydantic import ValidationError

from phf.config.schema import DownstreamConfig, GenerationConfig, GlueConfig, TokenizerConfig, TrainingConfig


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (TrainingConfig, "seed"),
        (TrainingConfig, "effective_batch_size"),
        (TrainingConfig, "num_tokens"),
        (TokenizerConfig, "train_from_corpus"),
        (DownstreamConfig, "limit"),
        (GlueConfig, "learning_rate"),
    ],
)
@pytest.mark.parametrize("value", [True, False])
def test_yes_and_no_are_not_numbers(section, key, value):
    with pytest.raises(ValidationError, match="Input should be a number, not yes or no"):
        section.model_validate({key: value})


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (GlueConfig, {"seeds": [0, True]}),
        (GlueConfig, {"learning_rate": {"cola": True}}),
        (GlueConfig, {"batch_size": {"cola": False}}),
        (GenerationConfig, {"scorer_config": {}, "force_call_on": [True]}),
    ],
)
def test_nor_are_they_numbers_of_a_list_or_mapping(section, values):
    with pytest.raises(ValidationError, match="Input should be a number, not yes or no"):
        section.model_validate(values)


def test_they_remain_what_they_are_where_a_setting_may_be_anything():
    scenario = {"name": "s", "prompts_where": {"challenging": True}, "generate_kwargs": {"do_sample": True}}
    section = GenerationConfig.model_validate({"scorer_config": {"is_x": True}, "scenario_configs": [scenario]})
    assert section.scorer_config == {"is_x": True}
    assert section.scenario_configs[0].prompts_where == {"challenging": True}
    assert section.scenario_configs[0].generate_kwargs == {"do_sample": True}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": [0, 1, 0]}, "listed twice"),
        ({"tasks": ["cola", "rte", "cola"]}, "listed twice"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"seeds": [2**32]}, "less than 4294967296"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": {"cola": -1e-5}}, "greater than 0"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"batch_size": {"cola": -8}}, "greater than or equal to 1"),
    ],
)
def test_settings_of_glue_that_cannot_be_trained_with_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        GlueConfig.model_validate(values)
