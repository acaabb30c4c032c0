"""Which runs can be refreshed, and with which settings."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.refresh.conftest import SETTINGS, config_of, quiet

from phf.errors import ConfigError
from phf.feedback import method_of
from phf.feedback.thresholds import with_stand_ins
from phf.refresh.continued import round_config
from phf.refresh.start import check_kind, check_scorer, check_uses_scores, chosen_scenario

METHODS = ["conditional", "quantiles", "filtering", "masking", "ul", "awr", "rwr"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_uses_scores_is_trained_on_with(method, tmp_path):
    """The same objective and control tokens, on this round's data, from the model of the round before."""
    config = with_stand_ins(config_of(str(tmp_path), method, **{"dataset.part": [0.5, 1.0]}))
    check_kind(config)
    check_uses_scores(method_of(config))
    of_round = round_config(config, SETTINGS, tmp_path / "model", ["data"], 512, 3)
    assert of_round.objective == config.objective
    assert of_round.dataset.tagging == config.dataset.tagging
    assert (of_round.dataset.datasets, of_round.dataset.part, of_round.dataset.eval_fraction) == (["data"], [0, 1], 0)
    assert of_round.dataset.filter_threshold is None, "it was applied when the data was chosen"
    assert (of_round.model.path_or_name, of_round.model.from_scratch) == (str(tmp_path / "model"), False)
    assert of_round.model.model_kwargs == config.model.model_kwargs
    assert (of_round.training.num_tokens, of_round.training.seed) == (512, SETTINGS.seed + 3)


def test_the_learning_rate_is_a_tenth_of_the_runs_unless_it_is_given(tmp_path):
    config = with_stand_ins(
        config_of(
            str(tmp_path),
            **{"training.learning_rate": 0.02, "training.push_to_hub": True, "training.hub_model_id": "a/b"},
        )
    )
    extra = round_config(config, SETTINGS, tmp_path, ["data"], 512, 1).training.model_extra
    assert extra["learning_rate"] == pytest.approx(0.002)
    assert extra["lr_scheduler_type"] == "constant_with_warmup"
    assert not {"push_to_hub", "hub_model_id"} & extra.keys(), "a round would be published in place of the run"
    given = round_config(config, replace(SETTINGS, learning_rate=0.1), tmp_path, ["data"], 512, 1)
    assert given.training.model_extra["learning_rate"] == 0.1


def test_mle_is_refused():
    with pytest.raises(ConfigError, match=r"MLE, which does not use scores"):
        check_uses_scores(method_of(config_of("nowhere", "mle")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": [SimpleNamespace(until=1.0)]}, "schedule=always"),
        ({"streaming": True}, "dataset.streaming=false"),
        ({"conditioning": SimpleNamespace(model_extra={"preferences": [{}]})}, "several preferences"),
    ],
)
def test_runs_that_cannot_be_trained_on_samples_are_refused_with_the_reason(changes, message):
    dataset = SimpleNamespace(streaming=changes.get("streaming", False), conditioning=changes.get("conditioning"))
    with pytest.raises(ConfigError, match=message):
        check_kind(SimpleNamespace(schedule=changes.get("schedule", "always"), dataset=dataset))


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"generation.scenario_configs": []}, None, r"no generation scenario"),
        ({}, "unconditionl", r"no scenario 'unconditionl'. Did you mean 'unconditional'"),
    ],
)
def test_a_scenario_that_does_not_exist_is_refused(changes, name, message):
    with pytest.raises(ConfigError, match=message):
        chosen_scenario(config_of("nowhere", **changes), name)


def test_another_scorer_than_that_of_the_training_data_is_refused(refreshed):
    data, said = str(refreshed[0] / "rounds/01/scored"), []
    config = config_of(data)
    check_scorer(config, [data, "not-a-folder.jsonl"], said.append)
    assert said == [
        "not-a-folder.jsonl does not say what scored it; samples are scored by tests.refresh.letters:Letters"
    ]
    other = config_of(data, **{"generation.scorer_config": {"class_name": "PEP8Scorer"}})
    with pytest.raises(ConfigError, match=r"scored by tests.refresh.letters:Letters.*need the same scorer"):
        check_scorer(other, [data], quiet)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "--share 0: must be above 0"),
        ({"share": 1.01}, "--share 1.01"),
        ({"share": float("nan")}, "--share nan"),
        ({"rounds": 0}, "--rounds 0: must be at least 1"),
        ({"samples": 0}, "--samples 0"),
        ({"kl_samples": 1}, "--kl-samples 1: must be at least 2"),
        ({"max_kl": 0.0}, "--max-kl 0: must be a number above 0"),
        ({"max_kl": float("inf")}, "--max-kl inf"),
        ({"temperature": 0.0}, "--temperature 0: must be a number above 0"),
        ({"learning_rate": -1.0}, "--learning-rate -1"),
        ({"seed": 2**31}, "--seed 2147483648: must be below"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        replace(SETTINGS, **changes).check()
