"""MLE until a switch, then a method: what both parts of a run train on, for how long, and from which model."""

from pathlib import Path

import pytest
from tests.study.pieces import runs_of

from phf.config import dump_config, load_config
from phf.errors import ConfigError
from phf.study.jobs import jobs_of
from phf.study.plan import arms_of, expand
from phf.study.schema import parse_study
from phf.training.settings.arguments import work_out

TASK = {"tasks": ["pii/emails"], "methods": ["mle", "conditional", "awr"], "seeds": [1], "training_from": "task"}


def emails(**changes):
    return {run.name.removeprefix("pii-emails-tiny-"): run for run in runs_of(**TASK | changes)}


def test_switch_point_0_is_the_method_from_the_start():
    plain = emails()
    assert emails(switch_points=[0]) == plain
    switched = emails(switch_points=[0, 0.5])
    assert {name: switched[name] for name in plain} == plain


def test_a_run_until_each_switch_is_shared_by_all_methods_and_comes_first():
    runs = emails(switch_points=[0.5, 0, 0.9])
    assert list(runs)[:2] == ["mle-until-50-seed1", "mle-until-90-seed1"]
    assert list(runs)[5:8] == ["conditional-from-50-seed1", "conditional-seed1", "conditional-from-90-seed1"]
    for method in ("mle", "conditional", "awr"):
        for percent in ("50", "90"):
            assert runs[f"{method}-from-{percent}-seed1"].starts_from == f"pii-emails-tiny-mle-until-{percent}-seed1"
    arms = arms_of(list(runs.values()))
    assert [arm.name for arm in arms if arm.method == "awr"] == ["awr-from-50", "awr", "awr-from-90"]
    assert {arm.from_start for arm in arms} == {"mle", "conditional", "awr"}
    assert not any("until" in arm.name for arm in arms)


@pytest.mark.parametrize("point", [0.01, 1 / 3, 0.5, 0.9, 0.999])
def test_steps_before_and_after_the_switch_are_those_of_the_whole_run(point):
    def steps(run):
        return work_out(run.config.training, run.config.dataset.seq_length, 1).max_steps

    until, whole, after = emails(switch_points=[0, point], methods=["mle"]).values()
    assert steps(until) + steps(after) == steps(whole) == 1464  # 3,000,000 // (8 * 256)
    assert steps(until) == int(1464 * point)
    assert after.config.training.tokens_already_seen == until.config.training.num_tokens == steps(until) * 2048
    assert after.config.training.num_tokens == whole.config.training.num_tokens


def test_the_parts_of_the_corpus_before_and_after_the_switch_do_not_overlap():
    until, after = emails(switch_points=[0.5], methods=["mle"]).values()
    assert until.config.dataset.part == [0, 0.5]
    assert after.config.dataset.part == [0.5, 1]
    changed = {"overrides": {"dataset.part": [0.2, 0.6]}}
    until, after = emails(switch_points=[0.5], methods=["mle"], **changed).values()
    assert until.config.dataset.part == [0.2, pytest.approx(0.4)]
    assert after.config.dataset.part == [until.config.dataset.part[1], 0.6]


def test_what_follows_a_switch_is_the_method_from_the_model_before_it():
    study = parse_study(TASK | {"switch_points": [0, 0.5]}, "study.yml")
    runs = {run.arm.name: run.config for run in expand(study, (), Path("runs/mine"))[0]}
    for method in ("mle", "conditional", "awr"):
        whole, after = runs[method], runs[f"{method}-from-50"]
        assert after.model.path_or_name == "runs/mine/pii-emails-tiny-mle-until-50-seed1/model"
        assert not after.model.from_scratch
        assert after.tokenizer.train_from_corpus is None
        for section in ("objective", "generation"):
            assert getattr(after, section) == getattr(whole, section)
        changed = {"part": [0.5, 1.0]}
        assert after.dataset == whole.dataset.model_copy(update=changed)
        changed = {"tokens_already_seen": after.training.tokens_already_seen}
        assert after.training == whole.training.model_copy(update=changed)  # so it warms up to the same rate again
    assert runs["awr-from-50"].model.model_kwargs == runs["awr"].model.model_kwargs != {}


def test_the_configurations_are_read_back_as_they_are(tmp_path):
    for run in emails(switch_points=[0.5]).values():
        (tmp_path / "plan.yaml").write_text(dump_config(run.config))
        assert load_config(config=tmp_path / "plan.yaml")[0] == run.config


def test_the_hub_arguments_of_a_pretrained_model_are_those_of_the_run_before_the_switch():
    overrides = {"model.path_or_name": "someone/lm", "model.from_scratch": False, "model.config_kwargs": {}}
    overrides |= {"model.model_type": None, "tokenizer.train_from_corpus": None, "model.model_kwargs.revision": "abc"}
    until, after = emails(switch_points=[0.5], methods=["mle"], overrides=overrides).values()
    assert (until.config.model.path_or_name, until.config.model.model_kwargs) == ("someone/lm", {"revision": "abc"})
    assert after.config.model.model_kwargs == {}


def test_a_run_comes_after_the_one_whose_model_it_continues():
    runs = emails(switch_points=[0, 0.5]).values()
    after = {job.name: job.after for job in jobs_of(runs)}
    assert {name for name, others in after.items() if others} == {run.name for run in runs if run.arm.switch_point}
    assert after["pii-emails-tiny-awr-from-50-seed1"] == ("pii-emails-tiny-mle-until-50-seed1",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"switch_points": [0, 1.0]}, r"'switch_points\.1' is 1\.0: Input should be less than 1"),
        ({"switch_points": [-0.1]}, r"'switch_points\.0' is -0\.1"),
        ({"switch_points": []}, r"'switch_points' is \[\]"),
        ({"switch_points": [0.5, 0.5]}, r"switch_points: 0\.5 is listed more than once"),
        ({"switch_points": [1e-4]}, r"switch_points: 0\.0001 of 3,000,000 tokens is less than a step of 2,048"),
        (
            {"switch_points": [0.5], "overrides": {"training.effective_batch_size": None}},
            r"switch_points: training\.effective_batch_size is not set",
        ),
        (
            {"switch_points": [0.5], "overrides": {"training.num_tokens": None}},
            r"switch_points: training\.num_tokens is not set",
        ),
        (
            {
                "switch_points": [0, 0.5],
                "settings": [{"name": "wide", "methods": ["awr"], "overrides": {"model.config_kwargs.n_embd": 256}}],
            },
            r"after it awr with another model: model\.config_kwargs\.n_embd: 128 -> 256 \(before -> after\)",
        ),
        ({"switch_point": [0.5]}, r"unknown key 'switch_point'\. Did you mean 'switch_points'"),
    ],
)
def test_switches_that_cannot_be_made_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        emails(**change)
