"""A study's runs: their names, their configurations, and that they are comparable."""

import pytest
from tests.study.pieces import a_study, runs_of

from phf.config.files import SHIPPED
from phf.errors import ConfigError
from phf.study.plan import arms_of, choose_baseline, expand


def test_every_method_with_every_seed_the_seeds_outermost():
    assert [run.name for run in runs_of()] == [
        "pep8-quickstart-mle-seed1",
        "pep8-quickstart-conditional-seed1",
        "pep8-quickstart-mle-seed2",
        "pep8-quickstart-conditional-seed2",
    ]
    assert [run.config.training.seed for run in runs_of()] == [1, 1, 2, 2]


def test_settings_apply_to_the_methods_that_they_name():
    key = "dataset.conditional_training_config.threshold"
    settings = [
        {"name": "p10", "methods": ["conditional"], "overrides": {key: "p10"}},
        {"name": "p50", "methods": ["conditional"], "overrides": {key: "p50"}},
    ]
    runs = runs_of(settings=settings, seeds=[1])
    assert [arm.name for arm in arms_of(runs)] == ["mle", "conditional-p10", "conditional-p50"]
    assert [run.config.dataset.tagging and run.config.dataset.tagging.threshold for run in runs] == [None, "p10", "p50"]


def test_a_setting_without_methods_applies_to_all():
    runs = runs_of(settings=[{"name": "short", "overrides": {"dataset.seq_length": 64}}], seeds=[1])
    assert [arm.name for arm in arms_of(runs)] == ["mle-short", "conditional-short"]
    assert {run.config.dataset.seq_length for run in runs} == {64}


def test_overrides_reach_every_run_with_their_types_and_the_command_line_last():
    overrides = {"training.learning_rate": 1e-05, "generation.scenario_configs.0.generate_kwargs.top_k": 0}
    runs, _ = expand(a_study(overrides=overrides, num_tokens=50_000), ["training.learning_rate=0.25"])
    assert {run.config.training.learning_rate for run in runs} == {0.25}
    assert {run.config.training.num_tokens for run in runs} == {50_000}
    (run, *_) = runs_of(overrides=overrides)
    assert float(run.config.training.learning_rate) == 1e-05


def test_training_of_the_task_undoes_what_the_files_of_methods_change():
    methods = ["mle", "awr"]
    by_method = {run.arm.name: run.config for run in runs_of(methods=methods, seeds=[1])}
    assert by_method["awr"].training.effective_batch_size == 256
    runs = runs_of(methods=methods, seeds=[1], training_from="task", overrides={"training.learning_rate": 0.25})
    configs = {run.arm.name: run.config for run in runs}
    assert configs["awr"].training == configs["mle"].training
    assert configs["awr"].training.effective_batch_size == 8
    assert configs["awr"].training.learning_rate == 0.25
    assert configs["awr"].objective == by_method["awr"].objective


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [1, 2, 1]}, r"seeds: 1 is listed more than once"),
        ({"tasks": ["pep8/quickstart", "pep8/quickstart"]}, r"tasks: pep8/quickstart is listed more than once"),
        ({"methods": ["awr", "generic/awr"]}, r"methods: two of them are called 'awr'"),
        ({"settings": [{"name": "a"}, {"name": "a"}]}, r"settings: two of one method would be called"),
        (
            {"settings": [{"name": "a", "methods": ["conditionl"]}]},
            r"settings, 'a': the study has no method 'conditionl'\. Did you mean 'conditional'",
        ),
        ({"methods": ["mle", "nothing"]}, r"--method nothing: no such method"),
        ({"overrides": {"dataset.seq_len": 1}}, r"--override dataset\.seq_len=1: unknown key 'dataset\.seq_len'"),
        ({"baseline": "awr"}, r"baseline: the study has no method 'awr'"),
        (
            {"settings": [{"name": "long", "methods": ["mle"], "overrides": {"training.num_tokens": 9e6}}]},
            r"would be trained on 3,000,000 tokens and .*mle-long-seed1 on 9,000,000: methods are compared at equal tokens",
        ),
        ({"overrides": {"training.seed": 7}}, r"overrides: training\.seed is set by the study"),
        (
            {"settings": [{"name": "a", "overrides": {"training.seed": 7}}]},
            r"settings, 'a': training\.seed is set by the study",
        ),
        ({"overrides": {"training.num_tokens": None}}, r"training\.num_tokens is not set.*Set num_tokens in the study"),
    ],
)
def test_studies_that_cannot_be_run_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        runs_of(**change)


def test_a_seed_on_the_command_line_is_refused():
    with pytest.raises(ConfigError, match=r"--override: training\.seed is set by the study.*--seeds"):
        expand(a_study(), ["training.seed=7"])


def test_tasks_of_one_name_are_refused(tmp_path):
    shipped = (SHIPPED / "pep8" / "quickstart.yml").read_text(encoding="utf-8")
    tasks = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yml").write_text(shipped)
        tasks.append(str(tmp_path / folder / "mine.yml"))
    with pytest.raises(
        ConfigError, match=r"tasks: .*a/mine\.yml and .*b/mine\.yml would both be called 'mine-mle-seed1'"
    ):
        runs_of(tasks=tasks)


def test_the_baseline_is_mle_unless_another_is_asked_for():
    assert choose_baseline(a_study(), runs_of()) == "mle"
    assert choose_baseline(a_study(baseline="conditional"), runs_of()) == "conditional"
    others = ["conditional", "awr"]
    assert choose_baseline(a_study(methods=others), runs_of(methods=others, training_from="task")) == "conditional"


def test_the_size_is_part_of_the_names():
    runs = runs_of(tasks=["pii/emails"], size="small", seeds=[1], training_from="task")
    assert [run.name for run in runs] == ["pii-emails-small-mle-seed1", "pii-emails-small-conditional-seed1"]
    assert {run.config.model.config_kwargs["n_embd"] for run in runs} == {384}
    assert len({run.config.training.num_tokens for run in runs}) == 1
    with pytest.raises(ConfigError, match=r"huge. is not a size"):
        runs_of(tasks=["pii/emails"], size="huge")


def test_schedules_are_methods_of_a_study_like_others():
    late, *_ = runs_of(methods=["late-start", "mle"], seeds=[1])
    assert late.name == "pep8-quickstart-late-start-seed1"
    assert [phase.name for phase in late.config.schedule] == ["mle", "conditional"]


def test_a_schedule_after_a_switch_is_refused():
    with pytest.raises(ConfigError, match="switch_points: late-start has a schedule itself"):
        runs_of(methods=["late-start", "mle"], seeds=[1], switch_points=[0.0, 0.5])
