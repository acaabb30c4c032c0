"""Runs of another study are used where they mean the same, and what was measured belongs to the model that is there."""

import json

import pytest
from tests.study.pieces import finished, runs_of

from phf.errors import ConfigError, OutputError
from phf.models.model_folder import model_hashes
from phf.study.begin import begin
from phf.study.folder import StudyFolder
from phf.study.jobs import command_line, is_finished, jobs_of
from phf.study.reuse import with_runs_of


@pytest.fixture
def other(tmp_path):
    """A study of which two of four runs are finished."""
    folder = StudyFolder(tmp_path / "other")
    begin(folder, jobs_of(runs_of()))
    for run in runs_of()[:2]:
        finished(folder.path, run, [0.1, 0.2], 2.5)
    return folder


def test_finished_runs_of_another_study_are_used_and_measured_here(tmp_path, other):
    runs = runs_of(redteam=True)
    folder = with_runs_of(StudyFolder(tmp_path / "mine"), runs, [other.path])
    assert folder.elsewhere == {run.name: other.path / run.name for run in runs[:2]}
    jobs = jobs_of(runs)
    assert [is_finished(job, folder) for job in jobs] == [True, False] * 2 + [False] * 4
    assert command_line(jobs[1], folder)[2] == str(other.path / runs[0].name / "model")
    assert command_line(jobs[1], folder)[6] == str(tmp_path / "mine" / "redteam" / runs[0].name)
    assert begin(folder, jobs) == []
    assert begin(folder, jobs) == []  # it is the folder of a study now


def test_a_run_that_would_be_another_one_or_has_begun_here_is_not_taken(tmp_path, other):
    first, second, *_ = runs_of(overrides={"training.learning_rate": 0.5})
    assert with_runs_of(StudyFolder(tmp_path / "mine"), [first, second], [other.path]).elsewhere == {}
    run = runs_of()[0]
    finished(tmp_path / "mine", run, [0.1, 0.2], 2.5)
    assert with_runs_of(StudyFolder(tmp_path / "mine"), [run], [other.path]).elsewhere == {}


def test_settings_of_what_is_measured_may_differ(tmp_path, other):
    runs = runs_of(overrides={"redteam.num_rounds": 2})
    assert len(with_runs_of(StudyFolder(tmp_path / "mine"), runs, [other.path]).elsewhere) == 2


def test_a_run_that_diverged_is_not_taken(tmp_path, other):
    (other.path / runs_of()[0].name / "metrics.jsonl").write_text('{"step": 2, "tokens_seen": 1, "train/loss": null}\n')
    folder = with_runs_of(StudyFolder(tmp_path / "mine"), runs_of(), [other.path])
    assert list(folder.elsewhere) == [runs_of()[1].name]


def test_what_is_not_a_study_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--runs-from .*: is not the folder of a study"):
        with_runs_of(StudyFolder(tmp_path / "mine"), runs_of(), [tmp_path])


def test_what_was_measured_on_a_model_that_is_gone_is_refused(tmp_path, other):
    jobs = jobs_of(runs_of(redteam=True)[:1])
    measured = other.output(jobs[1].run.name, "redteam")
    measured.mkdir(parents=True)
    (other.plan(jobs[1].run.name, "redteam")).parent.mkdir()
    begin(other, jobs)
    model = other.run(jobs[0].run.name) / "model"
    (measured / "job.json").write_text(json.dumps({"model": model_hashes(model)}))
    assert begin(other, jobs) == [f"No longer part of the study, so kept but not on the page: {runs_of()[1].name}"]
    (model / "config.json").write_text('{"n_layer": 7}')
    with pytest.raises(OutputError, match=r"are not those that were measured: .*mle-seed1. Delete .*redteam/pep8"):
        begin(other, jobs)
    (model / "config.json").unlink()
    with pytest.raises(OutputError, match=r"are not those that were measured"):
        begin(other, jobs)


def test_changed_settings_of_a_search_that_has_begun_are_refused_and_its_training_is_kept(other):
    jobs = jobs_of(runs_of(redteam=True)[:1])
    begin(other, jobs)
    measured = other.output(jobs[1].run.name, "redteam")
    measured.mkdir(parents=True)
    (measured / "job.json").write_text("{}")
    changed = jobs_of(runs_of(redteam={"overrides": {"redteam.num_rounds": 2}})[:1])
    with pytest.raises(OutputError, match=r"redteam/pep8-quickstart-mle-seed1: redteam.num_rounds: 5 -> 2"):
        begin(other, changed)
