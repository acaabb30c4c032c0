"""Which method is in effect at which share of a run, and what the trained model is prompted with."""

import pytest
from tests.tiny import tiny_config

from phf.config import dump_config, load_config
from phf.errors import ConfigError
from phf.feedback import Method, method_of
from phf.feedback.schedule import (
    Phase,
    Schedule,
    Timetable,
    first_with_same_view,
    methods_of,
    phase_configs,
    schedule_of,
    with_phase_configs,
)
from phf.feedback.thresholds import level_of, percentile_thresholds, tentative_method_of, with_thresholds

FIRST, SECOND = Method(objective_config={"name": "MLE"}), Method(objective_config={"name": "AWR"})
TAG = "dataset.conditional_training_config.threshold"


def scheduled(*phases, method=None):
    return load_config(task="pep8/quickstart", method=method, overrides=[f"schedule=[{', '.join(phases)}]"])[0]


def test_always_is_the_configurations_method_from_the_first_step_to_the_last():
    schedule = schedule_of(tiny_config("x", "awr", schedule="always"))
    assert schedule == schedule_of(tiny_config("x", "awr"))
    assert [schedule.at(share).objective_config["name"] for share in (0.0, 0.5, 1.0)] == ["AWR"] * 3
    assert "schedule: always\n" in dump_config(tiny_config("x"))


def test_a_phase_ends_where_the_next_begins():
    schedule = Schedule((Phase(0.2, FIRST), Phase(1.0, SECOND)))
    assert [schedule.at(share) is FIRST for share in (0.0, 0.19, 0.2, 1.0)] == [True, True, False, False]
    assert schedule.ends(10) == (2, 10)
    assert Timetable((1, 10)).lines(["mle", "ul"], 5) == ["Step 1 (5 tokens): 'mle'", "Steps 2 to 10 (45 tokens): 'ul'"]
    assert [Timetable((2, 10)).phase_at(steps) for steps in (0, 1, 2, 9, 10)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("ends", [(), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (1.0, 2.0)])
def test_phases_that_do_not_cover_the_run_once_are_a_mistake_of_ours(ends):
    with pytest.raises(AssertionError):
        Schedule(tuple(Phase(until, FIRST) for until in ends))


def test_a_phase_without_a_step_is_refused():
    schedule = Schedule((Phase(0.04, FIRST, "early"), Phase(1.0, SECOND)))
    with pytest.raises(ConfigError, match=r"schedule.0 \('early', until 0.04\) has none of the run's 10 steps"):
        schedule.ends(10)


def test_the_model_is_prompted_with_the_tokens_of_the_last_phase_that_has_any():
    config = scheduled("{until: 0.9, method: conditional}", "{method: ul}")
    prompted, schedule = methods_of(with_thresholds(config, dict.fromkeys(percentile_thresholds(config), 0.5)))
    assert prompted.prompting.prefix == "<|aligned|>"
    assert prompted.prompting.banned("<|aligned|>")[-1] == "<|misaligned|>"
    assert prompted.objective_config["name"] == "Unlikelihood"
    assert [len(phase.method.control_tokens) for phase in schedule.phases] == [2, 0]
    assert config.generation.scenario_configs[0].prefix == "<|aligned|>"


def test_without_a_schedule_one_method_trains_and_prompts():
    prompted, schedule = methods_of(tiny_config("x", "conditional"))
    assert prompted is schedule.phases[0].method


def test_each_phase_is_what_its_method_is_for_a_whole_run():
    config = scheduled("{until: 0.2, method: mle}", "{until: 0.9, method: conditional}", "{method: filtering}")
    for own, name in zip(phase_configs(config), ["mle", "conditional", "filtering"], strict=True):
        alone = load_config(task="pep8/quickstart", method=name)[0]
        assert (own.dataset, own.objective, own.training) == (alone.dataset, alone.objective, alone.training)
    assert with_phase_configs(config, phase_configs(config)) == config


def test_phases_that_differ_in_the_loss_alone_share_a_view():
    config = scheduled(
        "{until: 0.2, method: mle}", "{until: 0.4, method: conditional}", "{until: 0.5, method: ul}",
        "{until: 0.7, method: conditional, dataset: {conditional_training_config: {loss_on_control_tokens: false}}}",
        "{method: conditional, dataset: {conditional_training_config: {threshold: 3}}}",
    )  # fmt: skip
    assert first_with_same_view(config) == [0, 1, 0, 1, 4]


def test_percentiles_of_phases_become_numbers_and_what_follows_from_them_too():
    config = scheduled(
        "{until: 0.5, method: conditional, dataset: {conditional_training_config: {threshold: p90}}}",
        "{until: 0.7, method: filtering, dataset: {filter_threshold: p40}}",
        "{until: 0.9, method: conditional, dataset: {conditional_training_config: {threshold: p20}}}",
        "{method: ul, objective: {score_threshold: p30}}",
    )
    keys = [f"schedule.0.{TAG}", "schedule.1.dataset.filter_threshold", f"schedule.2.{TAG}"]
    keys.append("schedule.3.objective.score_threshold")
    assert percentile_thresholds(config) == dict(zip(keys, ["p90", "p40", "p20", "p30"], strict=True))
    assert [level_of(config, key) for key in keys] == ["segment", "document", "segment", "segment"]
    numbers = with_thresholds(config, {key: float(number) for number, key in enumerate(keys)})
    assert method_of(numbers).conditioning_config["thresholds"] == [2.0]
    assert method_of(numbers).objective_config["score_threshold"] == 3.0
    assert [phase.method.objective_config.get("score_threshold") for phase in schedule_of(numbers).phases][3] == 3.0
    assert schedule_of(numbers).phases[1].method.document_filter.threshold == 1.0
    assert schedule_of(config, tentative_method_of).phases[0].method.conditioning.alignment_threshold == 0.9


def test_value_heads_of_one_phase_alone_are_refused():
    section = "objective: {name: AWR, use_value_head: true}"
    schedule = schedule_of(scheduled("{until: 0.5, method: mle}", f"{{name: mine, {section}}}"))
    with pytest.raises(ConfigError, match="'mine' trains a value head and 'mle' has none: they need different models"):
        schedule.check_one_model()
    schedule_of(scheduled("{until: 0.5, method: awr}", "{method: awr, objective: {beta: 2}}")).check_one_model()
