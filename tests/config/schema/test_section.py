"""What all sections of a configuration have in common."""

import pytest
from pydantic import ValidationError

from phf.config.schema import DownstreamConfig, GlueConfig, TokenizerConfig, TrainingConfig


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
