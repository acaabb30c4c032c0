"""A checkpoint is in its place as a whole or not at all, and old ones go only when a new one is there."""

import pytest

from phf.storage.file_list import damaged_files
from phf.training.checkpoints.write import CheckpointWriter


def write(writer, step):
    with writer.cleaning_up():
        folder = writer.unfinished / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"of {step}")
        writer.finish(step)


def names(run_dir):
    return sorted(path.name for path in run_dir.iterdir())


def test_a_finished_checkpoint_has_a_list_and_its_configuration(tmp_path):
    write(CheckpointWriter(tmp_path, "a: 1\n", None, True), 3)
    assert names(tmp_path) == ["checkpoint-3"]
    assert (tmp_path / "checkpoint-3" / "config.yaml").read_text() == "a: 1\n"
    assert damaged_files(tmp_path / "checkpoint-3") == []


def test_the_newest_are_kept_and_folders_of_others_left_alone(tmp_path):
    (tmp_path / "checkpoint-final").mkdir()
    writer = CheckpointWriter(tmp_path, "", 2, True)
    for step in (9, 10, 11, 12):
        write(writer, step)
    assert names(tmp_path) == ["checkpoint-11", "checkpoint-12", "checkpoint-final"]


def test_later_checkpoints_that_were_damaged_do_not_crowd_out_the_new_one(tmp_path):
    for step in (2, 4, 6):
        (tmp_path / f"checkpoint-{step}").mkdir()
    write(CheckpointWriter(tmp_path, "", 2, True), 3)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-3", "checkpoint-4", "checkpoint-6"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "old").write_text("old")
    write(CheckpointWriter(tmp_path, "", None, True), 4)
    assert names(tmp_path) == ["checkpoint-4"]
    assert names(tmp_path / "checkpoint-4") == ["config.yaml", "files.json", "weights"]


def test_an_error_leaves_neither_a_checkpoint_nor_what_was_written_of_it(tmp_path):
    writer = CheckpointWriter(tmp_path, "", 1, True)
    write(writer, 1)
    (writer.unfinished / "checkpoint-2").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), writer.cleaning_up():
        raise KeyboardInterrupt
    assert names(tmp_path) == ["checkpoint-1"]


def test_other_processes_move_and_delete_nothing(tmp_path):
    writer = CheckpointWriter(tmp_path, "", 1, False)
    write(writer, 1)
    assert names(tmp_path) == ["unfinished"]


def test_a_place_that_cannot_be_written_is_an_error_of_the_operating_system(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(OSError, match="Read-only file system"):
        write(CheckpointWriter(tmp_path, "", None, True), 1)
