"""The list of a folder's files finds every file that is missing, truncated or altered."""

import hashlib
import json

import pytest

from phf.errors import OutputError
from phf.storage.file_list import FILE_LIST, damaged_files, unlisted_files, write_file_list


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.bin").write_bytes(b"abc" * 1000)
    (tmp_path / "b.txt").write_text("b")
    write_file_list(tmp_path)
    return tmp_path


def test_every_file_is_listed_with_its_size_and_hash(folder):
    listed = json.loads((folder / "files.json").read_text())["files"]
    assert listed == {
        "b.txt": {"bytes": 1, "sha256": hashlib.sha256(b"b").hexdigest()},
        "part/a.bin": {"bytes": 3000, "sha256": hashlib.sha256(b"abc" * 1000).hexdigest()},
    }
    assert damaged_files(folder) == []


def test_what_was_added_later_does_not_count(folder):
    (folder / "notes.txt").write_text("mine")
    assert damaged_files(folder) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: path.unlink(), "part/a.bin is missing"),
        (lambda path: path.write_bytes(b""), "part/a.bin has 0 bytes instead of 3,000"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "part/a.bin has 2,999 bytes instead of 3,000"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "part/a.bin has 3,001 bytes instead of 3,000"),
        (lambda path: path.write_bytes(bytes(3000)), "part/a.bin does not have the content that was written"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
            "part/a.bin does not have the content that was written",
        ),
    ],
)
def test_a_damaged_file_is_named(folder, change, expected):
    change(folder / "part" / "a.bin")
    assert damaged_files(folder) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"files": {}}',
        '{"files": []}',
        '{"files": {"b.txt": {"bytes": -1, "sha256": ""}}}',
        '{"files": {"b": 1}}',
    ],
)
def test_a_damaged_list_is_damage(folder, text):
    (folder / "files.json").write_text(text)
    (problem,) = damaged_files(folder)
    assert problem.startswith("files.json")


def test_a_file_that_cannot_be_read_back_is_an_error(folder, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("phf.storage.file_list.file_sha256", fail)
    with pytest.raises(OutputError, match=r"b\.txt was just written and cannot be read: Input/output error"):
        write_file_list(folder)
    monkeypatch.setattr("phf.storage.content.file_sha256", fail)
    assert damaged_files(folder) == [f"{name} cannot be read: Input/output error" for name in ("b.txt", "part/a.bin")]


def test_a_name_that_no_file_can_have_is_a_problem_not_an_error(tmp_path):
    (tmp_path / FILE_LIST).write_text(json.dumps({"files": {"x" * 1000: {"bytes": 1, "sha256": ""}}}))
    (problem,) = damaged_files(tmp_path)
    assert problem == f"{'x' * 80} cannot be read: File name too long"


@pytest.mark.parametrize("name", ["../beside.txt", "/dev/zero", "part/../../beside.txt"])
def test_a_list_that_leads_out_of_the_folder_is_damage(folder, name):
    (folder.parent / "beside.txt").write_text("b")
    path = folder / FILE_LIST
    listed = json.loads(path.read_text())
    listed["files"][name] = listed["files"]["b.txt"]
    path.write_text(json.dumps(listed))
    assert damaged_files(folder) == [f"files.json names {name}, which is not in the folder"]


def test_what_is_not_on_the_list_is_found(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    assert unlisted_files(folder) == ["empty", "notes.txt"]
