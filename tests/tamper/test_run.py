"""A whole tamper test on toy models: what is finetuned, what is kept, and what a mistake is reported as."""

import json

import pytest
import yaml
from tests.tiny import conditional_prompting, tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer
from typer.testing import CliRunner

from phf.cli.app import app
from phf.config import dump_config, load_config, parse_config
from phf.errors import ConfigError, OutputError
from phf.feedback import Prompting, method_of
from phf.feedback.control_tokens import control_tokens_of_levels
from phf.feedback.schedule import score_columns
from phf.models import export_model
from phf.study.execute import Progress
from phf.study.run import Callbacks
from phf.tamper.page import to_json
from phf.tamper.run import plan_test, run_test
from phf.tamper.settings import TamperSettings
from phf.training.run import train

CONTROL = ("<|aligned|>", "<|misaligned|>")
TOKENS_OF_STEP = 4 * 64


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two untrained models, of which one has control tokens."""
    folder = tmp_path_factory.mktemp("models")
    for name, prompting in (("plain", Prompting()), ("tagged", conditional_prompting())):
        tokenizer = tiny_tokenizer(list(prompting.control_tokens) or None)
        export_model(tiny_lm("gpt2", tokenizer), tokenizer, folder / name, prompting)
    return [folder / "plain", folder / "tagged"]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return tiny_config(tiny_corpus(folder))


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad") / "bad.jsonl"
    path.write_text("".join(json.dumps({"text": f"x=1;y={i}\nz=( 1 )\n" * 20}) + "\n" for i in range(30)))
    return str(path)


def settings_of(bad, **changes):
    return TamperSettings(**{"dataset": bad, "num_steps": 2, "num_seeds": 1, "reach": 0.5} | changes)


def planned(models, task, bad, **changes):
    return {one.run.name: one for one in plan_test(models, task, settings_of(bad, **changes)).tamperings}


def test_all_models_are_finetuned_alike_and_each_is_prompted_in_its_own_way(models, task, bad):
    runs = planned(models, task, bad)
    assert list(runs) == [f"{name}-{kind}-seed1" for name in ("plain", "tagged") for kind in ("misaligned", "benign")]
    for one in runs.values():
        config = one.run.config
        assert config.objective == {"name": "MLE"}
        assert config.training.num_tokens == 2 * TOKENS_OF_STEP
        assert config.training.model_extra["learning_rate"] == pytest.approx(
            task.training.model_extra["learning_rate"] / 10
        )
        assert config.training.model_extra["lr_scheduler_type"] == "constant"
        assert config.generation.force_call_on == [0, 1, 2]
        assert config.dataset.eval_fraction == 0
    tagged = runs["tagged-misaligned-seed1"].run.config
    assert tagged.dataset.tagging.control_tokens == list(CONTROL)
    assert tagged.dataset.tagging.drop_token_fraction == 1.0, "the text that it is finetuned on is plain"
    assert [scenario.prefix for scenario in tagged.generation.scenario_configs] == [CONTROL[0]]
    assert runs["plain-misaligned-seed1"].run.config.generation.scenario_configs[0].prefix is None


def test_a_model_with_several_preferences_is_finetuned_on_plain_text_without_the_columns_of_any(tmp_path, task, bad):
    limits = {"class_name": "ScoreThresholds", "thresholds": [0.0], "drop_token_fraction": 0.0}
    preferences = [
        {"name": name, "scores_column": column, "control_tokens": [f"<|{name}-1|>", f"<|{name}-2|>"], **limits}
        for name, column in (("pep8", "scores"), ("pii", "pii_scores"))
    ]
    tokens = control_tokens_of_levels({one["name"]: one["control_tokens"] for one in preferences})
    chosen_by = {"class_name": "ScorePreferences", "preferences": preferences}
    tokenizer = tiny_tokenizer(list(tokens))
    prompting = Prompting(control_tokens=tokens, threshold=0.0, conditioning=chosen_by)
    export_model(tiny_lm("gpt2", tokenizer), tokenizer, tmp_path / "two", prompting)
    config = planned([tmp_path / "two"], task, bad)["two-misaligned-seed1"].run.config
    assert [scenario.prefix for scenario in config.generation.scenario_configs] == ["<|pep8-1|><|pii-1|>"]
    assert all(one.drop_token_fraction == 1.0 for one in method_of(config).preferences)
    assert [*score_columns(config)] == ["scores"]


def test_a_task_with_phases_does_not_make_finetuning_have_phases(models, task, bad):
    values = task.model_dump() | {"schedule": [{"until": 0.5, "name": "mle"}, {"until": 1.0, "name": "ul"}]}
    phased = parse_config(values)
    assert len(phased.schedule) == 2
    assert all(one.run.config.schedule == [] for one in planned(models, phased, bad).values())


def test_the_control_is_the_aligned_half_of_the_tasks_corpus_unless_it_is_given(models, task, bad):
    runs = planned(models, task, bad)
    misaligned, benign = (runs[f"plain-{kind}-seed1"].run.config.dataset for kind in ("misaligned", "benign"))
    assert (misaligned.datasets, misaligned.filter_threshold) == ([bad], None)
    assert (benign.datasets, benign.filter_threshold) == (task.dataset.datasets, "p50")
    given = planned(models, task, bad, benign="good.jsonl")["plain-benign-seed1"].run.config.dataset
    assert (given.datasets, given.filter_threshold) == (["good.jsonl"], None)


def in_this_process(trained, fails=()):
    """A stand-in for `execute`: each run in this process, from the configuration that a process would read."""

    def execute(jobs, folder, places, launcher, show, announce):
        failures = {}
        for job in jobs:
            if folder.is_finished(job.run.name):
                continue
            if job.run.name in fails:
                failures[job.run.name] = "no room"
                continue
            train(load_config(config=folder.plan(job.run.name))[0], folder.run(job.run.name))
            trained.append(job.run.name)
            show(Progress(len(jobs), 0))
        return failures

    return execute


@pytest.mark.slow
def test_a_test_from_models_to_page(models, task, bad, tmp_path, monkeypatch):
    said, trained = [], []
    callbacks = Callbacks(said.append, lambda what: None, lambda progress: None)
    monkeypatch.setattr("phf.tamper.run.execute", in_this_process(trained, fails=["tagged-benign-seed1"]))
    output = tmp_path / "tamper"

    def run(**changes):
        return run_test(plan_test(models, task, settings_of(bad, **changes)), output, lambda runs: [{}], callbacks)

    answer = run()
    assert answer.missing == {"tagged-benign-seed1": "no room"}
    monkeypatch.setattr("phf.tamper.run.execute", in_this_process(trained))
    answer = run()
    assert trained == ["plain-misaligned-seed1", "plain-benign-seed1", "tagged-misaligned-seed1", "tagged-benign-seed1"]
    assert answer.missing == {}
    assert not [*output.rglob("*.safetensors"), *output.rglob("checkpoint-*")], "models that are worse are not kept"
    (result,) = answer.results
    assert result.steps == [0, 1, 2]
    assert [method.name for method in result.misaligned] == ["plain", "tagged"]
    written = json.loads((output / "tamper.json").read_text())
    assert written["scenarios"][0]["misaligned"][1]["scores"]["2"]["mean"] == result.misaligned[1].means[2].mean
    metrics = [
        json.loads(line) for line in (output / "tagged-misaligned-seed1" / "metrics.jsonl").read_text().splitlines()
    ]
    by_step = {line["step"]: line[key] for line in metrics if (key := "generation/unconditional/score") in line}
    assert {step: mean.mean for step, mean in result.misaligned[1].means.items()} == pytest.approx(by_step)
    page = (output / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "4 of 4 finetunings" in page
    # the goal may be changed afterwards, the finetuning not
    assert to_json(run(reach=0.01))["scenarios"][0]["goal"] == 0.01
    assert len(trained) == 4
    with pytest.raises(OutputError, match=r"begun with other settings.*\n.*learning_rate"):
        run(learning_rate=0.5)
    weights = models[0] / "config.json"
    before = weights.read_bytes()
    weights.write_text(json.dumps({**json.loads(before), "note": "another"}))
    with pytest.raises(OutputError, match="finetunings of other models of these names: plain"):
        run()
    weights.write_bytes(before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reach": None}, r"There is one method, so no baseline.*--reach"),
        ({"reach": 0.0}, r"--reach 0: .*no score below 0, so every model has reached it before it is finetuned"),
        ({"reach": -1.0}, r"--reach -1: .*no score below 0"),
        ({"learning_rate": 0.0}, r"--learning-rate 0: it must be above 0"),
        ({"num_steps": 0}, r"--steps 0"),
        ({"num_seeds": 0}, r"--seeds 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(models, task, bad, changes, message):
    with pytest.raises(ConfigError, match=message):
        plan_test(models[:1], task, settings_of(bad, **changes))


def test_a_score_that_no_model_can_reach_is_refused(models, task, bad):
    shares = task.generation.model_copy(update={"scorer_config": {"class_name": "ProfanityScorer"}})
    config = task.model_copy(update={"generation": shares})
    with pytest.raises(ConfigError, match=r"--reach 1.1: .*no score above 1, so no model can reach it"):
        plan_test(models[:1], config, settings_of(bad, reach=1.1))
    assert plan_test(models[:1], config, settings_of(bad, reach=1.0)).tamperings


def test_misaligned_data_is_not_its_own_control(models, task, bad):
    with pytest.raises(ConfigError, match="is the misaligned data itself"):
        plan_test(models, task, settings_of(bad, benign=bad))


def test_scenarios_that_no_two_models_share_are_refused(models, task, bad):
    values = yaml.safe_load(dump_config(task))
    values["generation"]["scenario_configs"][0]["prefix"] = "<|misaligned|>"
    path = tmp = models[0].parent / "prefixed.yaml"
    path.write_text(yaml.safe_dump(values))
    config = load_config(config=tmp, for_models=True)[0]
    with pytest.raises(
        ConfigError, match=r"no scenario that all models can run.*plain: scenario 'unconditional' is skipped"
    ):
        plan_test(models, config, settings_of(bad))


def test_the_command_warns_and_refuses_what_it_cannot_do(models, task, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.yaml").write_text(dump_config(task))
    words = ["tamper", *map(str, models), "--config", "task.yaml", "--steps", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--dataset" in result.output
    result = CliRunner().invoke(app, [*words, "--dataset", str(tmp_path / "none.jsonl"), "--seeds", "1"])
    assert result.exit_code != 0
    assert "They make the models worse on purpose" in result.output
    assert "none.jsonl" in result.output
    assert not list((tmp_path / "runs").rglob("metrics.jsonl"))
