"""Schedules as they are written: what they become, and what is refused."""

import re

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.config.meaning import configuration_differences
from phf.errors import ConfigError

CONDITIONAL = "dataset.conditional_training_config.threshold"


def scheduled(schedule, *overrides, method=None):
    return load_config(task="pep8/quickstart", method=method, overrides=[f"schedule={schedule}", *overrides])[0]


@pytest.mark.parametrize(
    ("method", "phases"),
    [
        ("late-start", [(0.2, "mle"), (1.0, "conditional")]),
        ("cool-down", [(0.9, "conditional"), (1.0, "mle")]),
        (
            "annealed-threshold",
            [
                *(
                    (end, f"conditional (threshold {p})")
                    for end, p in zip((0.2, 0.4, 0.6, 0.8), ("p90", "p80", "p70", "p60"), strict=True)
                ),
                (1.0, "conditional"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("task", ["pep8/quickstart", "pii/emails", "toxicity"])
def test_shipped_schedules_apply_to_any_task_with_its_own_methods(task, method, phases, tmp_path):
    config, warnings = load_config(task=task, method=method)
    assert [(phase.until, phase.name) for phase in config.schedule] == phases
    conditional = load_config(task=task, method="conditional")[0]
    of_task = conditional.dataset.conditional_training_config
    assert config.dataset.conditional_training_config == of_task
    tagged = [phase.dataset.tagging for phase in config.schedule if phase.name == "conditional"]
    assert tagged == [of_task]
    assert config.generation == conditional.generation
    assert (config.method, warnings) == (method, [])
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0] == config
    assert configuration_differences(tmp_path / "config.yaml", config) == ""


def test_a_phase_has_a_part_of_its_own_on_top_of_its_method():
    config = scheduled(
        "[{from: 0, until: 0.5, method: ul, objective: {alpha: 2}}, {name: mine, objective: {name: MLE}}]"
    )
    assert [phase.objective.get("alpha") for phase in config.schedule] == [2, None]
    assert [phase.name for phase in config.schedule] == ["ul", "mine"]
    assert config.schedule[0].objective["score_threshold"] is not None


def test_numbers_move_in_equal_stages():
    anneal = "{key: objective.alpha, from: 1, to: 0.1, stages: 4}"
    config = scheduled(f"[{{until: 0.5, method: mle}}, {{method: ul, anneal: {anneal}}}]")
    assert [phase.objective.get("alpha") for phase in config.schedule] == [None, 1.0, 0.7, 0.4, 0.1]
    assert [phase.until for phase in config.schedule] == [0.5, 0.625, 0.75, 0.875, 1.0]


def test_overrides_reach_phases():
    config = load_config(
        task="pep8/quickstart", method="late-start", overrides=[f"schedule.1.{CONDITIONAL}=p70", "training.seed=9"]
    )[0]
    assert config.schedule[1].dataset.tagging.threshold == "p70"
    assert config.dataset.tagging.threshold == "p70"
    assert config.training.seed == 9


def test_what_a_method_changes_beside_scores_is_the_same_in_all_phases(tmp_path):
    (tmp_path / "fast.yml").write_text("training: {learning_rate: 0.5}\n")
    schedule = f"[{{until: 0.5, method: mle}}, {{method: {tmp_path}/fast.yml}}]"
    with pytest.raises(
        ConfigError, match=r"'mle' and 'fast' need different models or runs: training.learning_rate: 0.004 -> 0.5"
    ):
        scheduled(schedule)
    config = scheduled(schedule, "training.learning_rate=0.25")
    assert float(config.training.learning_rate) == 0.25


def test_a_permission_in_the_file_of_a_phases_method_is_ignored(tmp_path):
    (tmp_path / "mine.yml").write_text("downstream: {tasks: [x], allow_code_execution: true}\n")
    config, warnings = load_config(
        task="pep8/quickstart",
        overrides=[f"schedule=[{{until: 0.5, method: {tmp_path}/mine.yml}}, {{method: {tmp_path}/mine.yml}}]"],
    )
    assert config.downstream.allow_code_execution is False
    assert "allow_code_execution is ignored in a file" in warnings[0]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("never", "schedule is 'never': write always, or a list of phases"),
        ("1", "schedule is 1: write always"),
        ("[]", "write always, or a list of phases"),
        ("null", "write always, or a list of phases"),
        ("[mle]", "schedule.0 is 'mle'; a phase is a mapping"),
        ("[{until: 0.5, method: mle}, {until: 0.4, method: ul}]", "the phase before it ends at 0.5: they overlap"),
        ("[{until: 0.5, method: mle}, {until: 0.5, method: ul}]", "they overlap"),
        ("[{until: 0.5, method: mle}, {from: 0.4, method: ul}]", "the phase before ends at 0.5: the two overlap"),
        ("[{until: 0.5, method: mle}, {from: 0.6, method: ul}]", "nothing would be trained from 0.5 to 0.6"),
        ("[{from: 0.1, method: mle}]", "but the run begins at 0: nothing would be trained from 0 to 0.1"),
        ("[{until: 0.5, method: mle}, {until: 0.9, method: ul}]", "no phase follows, so nothing would be trained"),
        ("[{until: 0.5, method: mle}, {until: 1.5, method: ul}]", "until is 1.5, which is after the end of the run"),
        ("[{until: 100, method: mle}, {method: ul}]", "which is after the end of the run"),
        ("[{until: 1, method: mle}, {method: ul}]", "schedule.1: the phase before ends at 1, the end of the run"),
        ("[{until: 0, method: mle}, {method: ul}]", "until is 0; it must be greater than 0"),
        ("[{until: -1, method: mle}, {method: ul}]", "until is -1; it must be greater than 0"),
        ("[{until: yes, method: mle}, {method: ul}]", "until is True; it must be a share"),
        ("[{until: half, method: mle}, {method: ul}]", "until is 'half'; it must be a share"),
        ("[{method: mle}, {method: ul}]", "schedule.0: has no `until`. Only the last phase may leave it out"),
        ("[{until: 0.5, method: mlle}, {method: ul}]", "schedule.0.method: mlle: no such method. Did you mean 'mle'"),
        ("[{until: 0.5, method: 3}, {method: ul}]", "schedule.0.method is 3; it must be the name of a method"),
        ("[{until: 0.5}, {method: ul}]", "schedule.0: has no method"),
        ("[{untill: 0.5, method: mle}, {method: ul}]", "schedule.0: unknown key 'untill'. Did you mean 'until'"),
        ("[{until: 0.5, method: mle}, {method: late-start}]", "late-start has a schedule itself"),
        ("[{until: 0.5, method: mle}, {method: ul, dataset: {seq_length: 8}}]", "cannot change while a run lasts"),
        ("[{until: 0.5, method: mle}, {method: ul, objective: UL}]", "schedule.1.objective is 'UL'; it must be a section"),
        ("[{until: 0.5, method: mle}, {method: ul, objective: {alfa: 1}}]", "objective.alfa is not a setting of Unlikelihood"),
        ("[{until: 0.5, method: mle}, {method: ul, name: ''}]", "schedule.1.name is ''; it must be text"),
        ("[{until: 0.5, method: mle}, {method: awr, training: {}}]", "unknown key 'training'"),
        ("[{until: 0.5, method: quantiles}, {method: conditional}]", "a model has one set of control tokens, from the start"),
    ],
)  # fmt: skip
def test_what_a_schedule_cannot_be_is_refused(schedule, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        scheduled(schedule)
    assert str(error.value).startswith(f"--override schedule={schedule}: schedule")


def test_methods_that_need_different_models_are_refused_with_those_that_can_be_phases():
    with pytest.raises(
        ConfigError, match=r"need different models or runs: model.model_kwargs.*value head can follow one"
    ):
        load_config(task="pep8/quickstart", overrides=["schedule=[{until: 0.5, method: mle}, {method: generic/awr}]"])


@pytest.mark.parametrize(
    ("anneal", "message"),
    [
        ("7", "schedule.0.anneal is 7; it must be a mapping with key, from, to, stages"),
        ("{key: objective.alpha, from: 1, to: 2}", "'stages' is missing"),
        ("{key: objective.alpha, from: 1, to: 2, stages: 1}", "stages is 1; it must be a whole number from 2 to 100"),
        ("{key: objective.alpha, from: 1, to: 2, steps: 3}", "unknown key 'steps'. Did you mean 'stages'"),
        ("{key: objective.alpha, from: 1, to: p2, stages: 3}", "moves from 1 to 'p2'; both must be numbers"),
        ("{key: objective.alpha, from: .inf, to: 2, stages: 3}", "both must be numbers"),
        ("{key: objective.alpha, from: -1.0e+308, to: 1.0e+308, stages: 3}", "moves from -1e+308 to 1e+308, which are too far"),
        ("{key: objective.alpha, from: 2, to: 2.0, stages: 3}", "moves from 2 to 2.0 in 3 stages, of which some would have"),
        ("{key: objective.score_threshold, from: p5, to: p5, stages: 2}", "nothing would move between them"),
        ("{key: objective.score_threshold, from: p5, to: p5.0001, stages: 50}", "nothing would move between them"),
        ("{key: objective.alfa, from: 1, to: 2, stages: 3}", "schedule.0.anneal: objective.alfa is not a setting of"),
        ("{key: training.learning_rate, from: 1, to: 2, stages: 3}", "which is not a number that 'ul' has"),
        ("{key: objective.name.x, from: 1, to: 2, stages: 3}", "objective.name.x"),
        ("{key: 3, from: 1, to: 2, stages: 3}", "key is 3; it must be a key"),
    ],
)  # fmt: skip
def test_what_cannot_move_is_refused(anneal, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        scheduled(f"[{{method: ul, anneal: {anneal}}}]")


@pytest.mark.parametrize(
    "override", ["objective.alpha=2", f"{CONDITIONAL}=3", "dataset.filter_threshold=1", "objective={name: MLE}"]
)
def test_a_setting_of_a_method_outside_of_the_phases_is_refused(override):
    with pytest.raises(ConfigError, match=re.escape(f"Set it in a phase: --override schedule.0.{override}")):
        load_config(task="pep8/quickstart", method="late-start", overrides=[override])


def test_a_file_with_a_method_beside_its_schedule_is_refused(tmp_path):
    (tmp_path / "mine.yml").write_text("objective: {name: MLE}\nschedule: [{until: 0.5, method: mle}, {method: ul}]\n")
    with pytest.raises(ConfigError, match=r"mine.yml: objective is set beside a schedule. Set it in a phase"):
        load_config(task="pep8/quickstart", method=str(tmp_path / "mine.yml"))


def test_a_whole_file_that_contradicts_its_phases_is_refused(tmp_path):
    values = yaml.safe_load(dump_config(load_config(task="pep8/quickstart", method="late-start")[0]))
    values["dataset"]["conditional_training_config"]["threshold"] = 7
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"dataset.conditional_training_config is not what the schedule makes of it"):
        load_config(config=tmp_path / "config.yaml")
