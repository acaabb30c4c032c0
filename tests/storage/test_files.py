"""Folders that one job at a time writes."""

import errno

import pytest
from filelock import FileLock

from phf.errors import OutputError
from phf.storage.files import is_unused, only_job


def test_a_folder_is_held_while_the_block_runs(tmp_path):
    folder = tmp_path / "new" / "out"
    with only_job(folder):
        with pytest.raises(OutputError, match=r"out is being written by another job\. Wait for it"), only_job(folder):
            pass
        with only_job(tmp_path / "other"):
            pass
    with only_job(folder):  # and free again
        (folder / "result.json").write_text("{}")
    assert [path.name for path in folder.glob("[!.]*")] == ["result.json"]


def test_a_job_that_ends_before_it_writes_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), only_job(tmp_path / "out"):
        1 / 0  # noqa: B018
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("FileSystem does not appear to support flock"),
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.EOPNOTSUPP, "Operation not supported"),
    ],
)
def test_a_file_system_without_locks_is_used_without(error, tmp_path, monkeypatch):
    def acquire(self, timeout=None):
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with only_job(tmp_path), only_job(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), only_job(tmp_path / "file"):
        pass


def test_what_a_kill_at_once_leaves_does_not_count_as_use(tmp_path):
    assert is_unused(tmp_path / "missing")
    (tmp_path / ".job.json.x.partial").write_text("{")
    with only_job(tmp_path):
        assert is_unused(tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    assert not is_unused(tmp_path)
