"""A whole study on a toy model: interrupted in the middle of a run and started again."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import yaml
from tests.forked import Forked
from tests.study.pieces import a_study
from tests.tiny import tiny_corpus
from typer.testing import CliRunner

from phf.cli.app import app
from phf.errors import ConfigError
from phf.study.begin import begin
from phf.study.folder import StudyFolder
from phf.study.jobs import jobs_of
from phf.study.page import write_answer
from phf.study.plan import expand
from phf.study.run import Callbacks, read_answer, run_study
from phf.training.run import train

NAMES = [f"pep8-quickstart-{method}-seed{seed}" for seed in (1, 2) for method in ("mle", "conditional")]


def tiny_values(source, **changes):
    overrides = {
        "dataset.datasets": [source],
        "dataset.seq_length": 64,
        "dataset.eval_fraction": 0.2,
        "dataset.max_eval_tokens": 640,
        "tokenizer.train_from_corpus": 300,
        "model.config_kwargs.n_layer": 1,
        "model.config_kwargs.n_embd": 16,
        "model.config_kwargs.n_head": 2,
        "model.config_kwargs.n_positions": 64,
        "training.effective_batch_size": 4,
        "training.per_device_train_batch_size": 4,
        "training.logging_steps": 1,
        "training.save_steps": 10,
        "generation.scenario_configs.0.prompts_path": None,
        "generation.scenario_configs.0.use_prompt_for_scoring": False,
        "generation.scenario_configs.0.num_samples": 8,
        "generation.scenario_configs.0.generate_kwargs.max_length": 24,
        **changes,
    }
    return {
        "tasks": ["pep8/quickstart"],
        "methods": ["mle", "conditional"],
        "seeds": [1, 2],
        "num_tokens": 60 * 4 * 64,
        "overrides": overrides,
    }


def run_tiny(study, folder, show=lambda progress: None, said=None, places=2):
    callbacks = Callbacks((said if said is not None else []).append, lambda what: None, show)
    return run_study("tiny", study, folder, lambda runs: [{"OMP_NUM_THREADS": "1"}] * places, callbacks)


@pytest.mark.slow
def test_a_study_that_is_interrupted_in_the_middle_of_a_run_gives_the_page_that_it_would_have_given(
    tmp_path, monkeypatch
):
    (tmp_path / "corpus").mkdir()
    study = a_study(**tiny_values(tiny_corpus(tmp_path / "corpus")))
    runs, _ = expand(study)
    # what the runs give alone and without interruption, each in this process
    alone, folder = StudyFolder(tmp_path / "alone"), StudyFolder(tmp_path / "study")
    for run in runs:
        train(run.config, alone.run(run.name))
    write_answer(read_answer("tiny", study, runs, alone, {}), alone)
    begin(folder, jobs_of(runs))
    for name in NAMES[2:]:
        shutil.copytree(alone.run(name), folder.run(name))  # finished before

    def interrupt(progress):
        if any(0 < share < 1 for share in progress.running.values()):
            raise KeyboardInterrupt

    forking = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})  # they have loaded the libraries
    monkeypatch.setattr("phf.study.execute.subprocess", forking)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(study, folder.path, interrupt, places=1)
    assert not (folder.path / "report.html").exists()
    assert not all(folder.is_finished(name) for name in NAMES)
    answer = run_tiny(study, folder.path)
    assert answer.missing == {}
    assert [arm.seeds for arm in answer.results[0].arms] == [[1, 2], [1, 2]]
    assert any("Resuming" in folder.log(name).read_text() for name in NAMES[:2])
    for name in ("study.json", "report.html"):
        assert (folder.path / name).read_text() == (alone.path / name).read_text()


def test_nothing_is_trained_if_a_run_would_be_refused(tmp_path):
    values = tiny_values(str(tmp_path), **{"training.learning_rat": 0.1})
    with pytest.raises(ConfigError, match=r"pep8-quickstart-mle-seed1: .*learning_rat"):
        run_tiny(a_study(**values), tmp_path / "study")
    assert not (tmp_path / "study" / "plan").exists()


def test_dry_run_lists_the_runs_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(tiny_values(str(tmp_path))))
    result = CliRunner().invoke(
        app, ["study", "mine.yml", "--dry-run", "--seeds", "1", "--override", "training.adam_beta2=0.9"]
    )
    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.output.splitlines()[-4:-2]] == NAMES[:2]
    assert result.output.splitlines()[-2:] == [
        "2 runs, in runs/mine",
        "Next: the same command without --dry-run  (trains what is not finished, and answers)",
    ]
    assert not (tmp_path / "runs").exists()


def test_mistakes_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["study", "objectives", "--launcher", "srun 'x", "--task", "pep8/quickstart"])
    assert result.exit_code == 2
    assert "--launcher srun 'x: No closing quotation" in result.output
    result = CliRunner().invoke(app, ["study", "objektives"])
    assert result.exit_code == 2
    assert "there is no such study. Did you mean 'objectives'" in result.output


def test_missing_runs_are_the_exit_status(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = tiny_values(str(tmp_path))
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr("phf.study.run.prepare", lambda *arguments: {})
    monkeypatch.setattr("phf.study.run.validate", lambda *arguments: None)
    monkeypatch.setattr("phf.study.run.execute", lambda *arguments: dict.fromkeys(NAMES, "no GPU"))
    result = CliRunner().invoke(app, ["study", "mine.yml", "--json"])
    assert result.exit_code == 4
    answer = json.loads(result.stdout)
    assert (answer["exit_status"], answer["study"]["missing"]) == (4, dict.fromkeys(NAMES, "no GPU"))
    assert f"Missing: {NAMES[0]}: no GPU" in result.output
    assert json.loads((tmp_path / "runs" / "mine" / "study.json").read_text())["missing"] == dict.fromkeys(
        NAMES, "no GPU"
    )
