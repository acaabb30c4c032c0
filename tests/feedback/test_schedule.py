"""Which method is in effect at which share of a run."""

import pytest
from tests.tiny import tiny_config

from phf.config import dump_config, load_config
from phf.errors import ConfigError
from phf.feedback import Method
from phf.feedback.schedule import Phase, Schedule, schedule_of

FIRST, SECOND = Method(objective_config={"name": "MLE"}), Method(objective_config={"name": "AWR"})


def test_always_is_the_configurations_method_from_the_first_step_to_the_last():
    schedule = schedule_of(tiny_config("x", "awr", schedule="always"))
    assert schedule == schedule_of(tiny_config("x", "awr"))
    assert [schedule.at(share).objective_config["name"] for share in (0.0, 0.5, 1.0)] == ["AWR"] * 3


def test_a_phase_ends_where_the_next_begins():
    schedule = Schedule((Phase(0.2, FIRST), Phase(1.0, SECOND)))
    assert [schedule.at(share) is FIRST for share in (0.0, 0.19, 0.2, 1.0)] == [True, True, False, False]
    assert schedule.final is SECOND


@pytest.mark.parametrize("ends", [(), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (1.0, 2.0)])
def test_phases_that_do_not_cover_the_run_once_are_a_mistake_of_ours(ends):
    with pytest.raises(AssertionError):
        Schedule(tuple(Phase(until, FIRST) for until in ends))


@pytest.mark.parametrize("schedule", ["[{until: 0.2, method: mle}, {until: 1.0, method: awr}]", "never", "1", "null"])
def test_any_other_schedule_is_refused(schedule):
    with pytest.raises(ConfigError, match=r"--override schedule=.*'schedule' is .*only 'always' is supported"):
        load_config(task="pep8/quickstart", method="mle", overrides=[f"schedule={schedule}"])


def test_the_schedule_is_saved_with_a_run():
    assert "schedule: always\n" in dump_config(tiny_config("x"))
