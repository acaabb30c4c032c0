"""A study that is started again: finished work is kept, and nothing of another study is mixed in."""

import pytest
from tests.study.pieces import finished, runs_of

from phf.config import load_config
from phf.errors import OutputError
from phf.study.begin import begin
from phf.study.folder import StudyFolder
from phf.study.jobs import jobs_of


def test_the_configuration_of_each_run_is_written_as_it_is_before_percentiles_are_numbers(tmp_path):
    runs = runs_of(overrides={"dataset.conditional_training_config": {"threshold": "p50"}}, methods=["conditional"])
    assert begin(StudyFolder(tmp_path), jobs_of(runs)) == []
    written, _ = load_config(config=StudyFolder(tmp_path).plan(runs[0].name))
    assert written == runs[0].config
    assert written.dataset.tagging.threshold == "p50"


def test_the_same_study_again_is_nothing_new(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    finished(tmp_path, runs_of()[0], [0.1, 0.2], 2.5)
    assert begin(StudyFolder(tmp_path), jobs_of(runs_of())) == []


def test_a_changed_study_says_what_changed_and_trains_nothing(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    for run in runs_of()[:2]:
        finished(tmp_path, run, [0.1, 0.2], 2.5)
    plan = StudyFolder(tmp_path).plan(runs_of()[0].name)
    before = plan.read_text()
    with pytest.raises(OutputError) as raised:
        begin(StudyFolder(tmp_path), jobs_of(runs_of(overrides={"training.learning_rate": 0.5})))
    message = str(raised.value)
    assert "was begun with other settings" in message
    assert (
        "pep8-quickstart-mle-seed1, pep8-quickstart-conditional-seed1: training.learning_rate: 0.004 -> 0.5" in message
    )
    assert "mle-seed2" not in message  # it had not begun
    assert plan.read_text() == before


def test_a_change_that_means_the_same_is_not_a_change(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    finished(tmp_path, runs_of()[0], [0.1, 0.2], 2.5)
    assert begin(StudyFolder(tmp_path), jobs_of(runs_of(overrides={"training.per_device_train_batch_size": 4}))) == []


def test_a_change_of_runs_that_have_not_begun_is_taken(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    begin(StudyFolder(tmp_path), jobs_of(runs_of(overrides={"training.learning_rate": 0.5})))
    written, _ = load_config(config=StudyFolder(tmp_path).plan(runs_of()[0].name))
    assert written.training.learning_rate == 0.5


def test_runs_that_are_added_and_runs_that_are_left_out_are_listed(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    finished(tmp_path, runs_of()[0], [0.1, 0.2], 2.5)
    added, left = begin(StudyFolder(tmp_path), jobs_of(runs_of(methods=["conditional", "filtering"], seeds=[1])))
    assert added == "New to the study since it was begun: pep8-quickstart-filtering-seed1"
    assert left == "No longer part of the study, so kept but not on the page: pep8-quickstart-mle-seed1"


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"is not the folder of a study.*Choose another with --output-dir"):
        begin(StudyFolder(tmp_path), jobs_of(runs_of()))


def test_a_damaged_plan_is_an_error_of_its_file(tmp_path):
    begin(StudyFolder(tmp_path), jobs_of(runs_of()))
    finished(tmp_path, runs_of()[0], [0.1, 0.2], 2.5)
    StudyFolder(tmp_path).plan(runs_of()[0].name).write_text("x: [")
    with pytest.raises(OutputError, match=r"mle-seed1\.yaml.*So it is not known whether"):
        begin(StudyFolder(tmp_path), jobs_of(runs_of()))


def test_a_run_without_usable_numbers_says_why(tmp_path):
    folder, run = StudyFolder(tmp_path), runs_of()[0]
    assert folder.finished_run(run.name) == "it has not finished"
    finished(tmp_path, run, [0.1, 0.2], 2.5, **{"train/loss": None})
    assert folder.finished_run(run.name) == "it diverged: train/loss is not a finite number at step 2"
    (folder.run(run.name) / "metrics.jsonl").write_text("{}\n{}\n")
    assert "metrics.jsonl, line 1" in folder.finished_run(run.name)
