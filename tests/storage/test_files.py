"""Folders that one job at a time writes, and files that are whole or not there."""

import errno
import json
import os
import time

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from phf.errors import OutputError
from phf.storage import files
from phf.storage.files import (
    apply_umask,
    atomic_write,
    claimed_folder,
    is_unused,
    new_folder,
    only_job,
    refuse_others,
    remove_remains,
    write_json_atomic,
    write_text_atomic,
)


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


def test_a_folder_of_others_is_refused_and_an_unused_or_own_one_is_not(tmp_path):
    refuse_others(tmp_path / "new", ["a.json"], "phf x")
    refuse_others(tmp_path, ["a.json"], "phf x")
    (tmp_path / files.LOCK).touch()
    refuse_others(tmp_path, ["a.json"], "phf x")
    (tmp_path / "b.json").touch()
    with pytest.raises(OutputError, match=r"was not made by phf x: it has b\.json\. Choose another with --output"):
        refuse_others(tmp_path, ["a.json"], "phf x")
    (tmp_path / "a.json").touch()
    refuse_others(tmp_path, ["a.json"], "phf x")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        refuse_others(tmp_path / "a.json", ["a.json"], "phf x")


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


def test_a_file_is_there_once_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as partial:
        # ext4 writes a file that was there and is truncated to disk at once, and waits for that before it deletes it
        assert not partial.exists()
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    with pytest.raises(UnicodeEncodeError):
        write_text_atomic(path, "ha\ud800")
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("file.txt", "whole")]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a\.txt cannot be written"):
        write_text_atomic(tmp_path / "file" / "a.txt", "")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match="folder cannot be written"):
        write_text_atomic(tmp_path / "folder", "")
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", b""), (b"a", b"a"), (b"a\n", b"a\n"), (b"a\nbcde\n", b"bcde\n"), (b"a\nbcde", b"bcde"), (b"a\n\n", b"\n")],
)
def test_the_last_line_is_found_from_the_end(tmp_path, monkeypatch, block, content, expected):
    monkeypatch.setattr(files, "BLOCK_BYTES", block)
    (tmp_path / "lines").write_bytes(content)
    assert files.last_line(tmp_path / "lines") == expected
    assert files.last_line(tmp_path / "none") == b""


def test_what_cannot_be_appended_whole_is_not_appended(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    path.write_bytes(b"a\n")
    files.append_atomic(path, b"b\n")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="lines cannot be written: No space left on device"):
        files.append_atomic(path, b"c\n")
    assert path.read_bytes() == b"a\nb\n"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_have_the_permissions_of_any_new_file(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
        apply_umask(tmp_path)
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode


def test_json_with_a_lone_surrogate_is_written_and_read_again(tmp_path):
    value = {"a": "\ud800", "ä": [1, "\udfff\u2028"]}
    write_json_atomic(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    write_json_atomic(tmp_path / "a.json", {"ä": 1})
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_device_is_never_replaced_by_a_file(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "stdout").symlink_to(tmp_path / "text")  # as of a shell that writes into a file
    (tmp_path / "text").write_text("before")
    monkeypatch.setattr(files, "DEVICES", tmp_path / "devices")
    for path in (tmp_path / "pipe", tmp_path / "devices" / "stdout", tmp_path / "devices" / "null"):
        with pytest.raises(OutputError, match=f"{path.name} cannot be written: it is a device, not a file"):
            write_text_atomic(path, "page")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "devices" / "stdout").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["devices", "pipe", "stdout", "text"]


def test_what_stands_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to("circle")
    for path, reason in (
        (tmp_path / "file", "file is a file, not a folder"),
        (tmp_path / "file" / "a" / "b", "file is a file, not a folder"),
        (tmp_path / "link", "link is a link to .*/nowhere, which does not exist"),
        (tmp_path / "link" / "a", "link is a link to .*/nowhere, which does not exist"),
        (tmp_path / "circle", "circle is a link to circle, which does not exist"),
    ):
        with pytest.raises(OutputError, match=f"{path} cannot be written: .*{reason}. Choose another"), only_job(path):
            pass


def test_a_new_folder_is_there_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "deep" / "new"

    def interrupted():
        with new_folder(folder) as partial:
            (partial / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(folder.parent.iterdir()) == []
    with new_folder(folder) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a").write_text("whole")
        assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["new"]
    assert [path.name for path in folder.iterdir()] == ["inner"]
    with pytest.raises(OutputError, match=r"new exists\. Choose another folder, or remove it"), new_folder(folder):
        pytest.fail("was begun")


def test_a_new_folder_has_nothing_of_a_killed_process(tmp_path):
    left = tmp_path / ".new.partial"
    (left / "inner").mkdir(parents=True)
    (left / "inner" / "b").write_text("half")
    (left / "c").write_text("half")
    (left / files.LOCK).touch()
    with new_folder(tmp_path / "new") as partial:
        (partial / "a").write_text("whole")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["new", "new/a"]


def test_two_processes_do_not_make_the_same_new_folder(tmp_path):
    folder = tmp_path / "new"
    refused = pytest.raises(OutputError, match=r"/new is being written by another job")
    with new_folder(folder) as partial:
        (partial / "a").write_text("first")
        with refused, new_folder(folder):
            pytest.fail("was begun")
        assert (partial / "a").read_text() == "first"
    assert (folder / "a").read_text() == "first"
    folder.rename(tmp_path / "old")

    def make():
        with new_folder(folder) as partial:
            (partial / "a").write_text("second")
            folder.mkdir()
            (folder / "b").write_text("of another program")

    with pytest.raises(OutputError, match="new cannot be written: Directory not empty"):
        make()
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_a_link_to_nowhere_is_in_the_way_of_a_new_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="link exists"), new_folder(tmp_path / "link"):
        pass


def test_unfinished_files_of_killed_commands_are_removed_after_an_hour(tmp_path):
    names = [".a[1].html.0123abcd.partial", ".a1.html.0123abcd.partial", ".b.csv.89abcdef.partial", ".mine.partial"]
    for name in names:
        (tmp_path / name).write_text("half")
    remove_remains(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4, "another command may be writing them"
    for name in names:
        os.utime(tmp_path / name, (0, time.time() - 2 * files.KILLED_SECONDS))
    remove_remains(tmp_path, "a[1].html")
    assert sorted(path.name for path in tmp_path.iterdir()) == names[1:]
    with only_job(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [files.LOCK, ".mine.partial"]


def test_a_folder_that_is_claimed_is_checked_and_held(tmp_path):
    with claimed_folder(None, ["a.json"], "phf x"):
        pass
    folder = tmp_path / "out"
    with claimed_folder(folder, ["a.json"], "phf x"):
        with pytest.raises(OutputError, match="written by another job"), claimed_folder(folder, ["a.json"], "phf x"):
            pytest.fail("was begun")
        (folder / "b.json").write_text("")
    with pytest.raises(OutputError, match="was not made by phf x"), claimed_folder(folder, ["a.json"], "phf x"):
        pytest.fail("was begun")
    assert files.LOCK not in [path.name for path in tmp_path.iterdir()]
