"""Names of files that are not UTF-8 are refused with one line before anything is done, or work; what the operating system
refuses is a mistake, too."""

import errno
import json
import os

import pytest
from typer.testing import CliRunner

from phf.cli.app import app
from phf.corpus.dataset import read_annotated

BAD = os.fsdecode(b"a\xff")
LONG = "x" * 300


def phf(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "fine.py", "--scorer", "PEP8Scorer", "--output", BAD],
        ["annotate", "fine.py", "--scorer", "PEP8Scorer", "-o", BAD],
        ["annotate", f"{BAD}.py", "--scorer", "PEP8Scorer", "--output", "out"],
        ["train", "--config", f"{BAD}.yaml"],
        ["train", "--task", "pep8", "--output-dir", BAD],
        ["report", BAD],
        ["report", "run", "--output", f"{BAD}.html"],
        ["profile", BAD],
        ["evaluate", BAD],
        ["study", f"{BAD}.yml"],
        ["score", BAD, "--scorer", "PEP8Scorer"],
        ["list", BAD],
    ],
)
def test_one_line_refuses_them(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = phf(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "a\\udcff" in result.stderr
    assert "is not UTF-8. Rename it" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_so_are_folders_in_which_a_command_would_work(tmp_path, monkeypatch):
    (tmp_path / BAD).mkdir()
    monkeypatch.chdir(tmp_path / BAD)
    assert "The folder of the command, " in phf("list").stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / BAD))
    assert "PHF_CACHE, " in phf("cache").stderr


def test_files_of_a_corpus_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (f"{BAD}.py", f"corpus/{BAD}.py", f"corpus/{BAD}/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x=1\n")
    settings = ["--scorer", "PEP8Scorer", "--workers", "1", "--time-limit", "0", "--output", "out"]
    assert phf("annotate", f"{BAD}.py", "corpus", *settings).exit_code == 0
    assert [document.texts for document in read_annotated("out")] == [["x=1\n"]] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "fine.py", "--scorer", "PEP8Scorer", "--output", LONG],
        ["annotate", LONG, "--scorer", "PEP8Scorer", "--output", "out"],
        ["profile", LONG],
        ["profile", "fine.py", "--output", LONG],
        ["train", "--config", LONG],
        ["train", "--task", "pep8/quickstart", "--method", "mle", "--output-dir", LONG],
        ["refresh", "run", "--output", LONG],
        ["export", "run", LONG],
        ["evaluate", LONG],
        ["redteam", LONG],
        ["tamper", LONG, "--dataset", "fine.py"],
        ["audit", LONG, "--dataset", "fine.py"],
        ["report", LONG],
        ["study", "objectives", "--output-dir", LONG],
        ["reward", LONG, "--base", "run"],
        ["label", LONG, "--annotator", "a"],
        ["playground", LONG],
    ],
)
def test_a_name_that_is_too_long_is_a_mistake(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "fine.py").write_text("x = 1\n")
    result = phf(*arguments)
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.splitlines()) == 1
    assert "Error: " in result.stderr
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["fine.py"]


def test_what_the_operating_system_refuses_is_said_in_one_line_and_in_json(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/thesis")

    monkeypatch.setattr("phf.report.page.write_report", refuse)
    result = phf("report", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: /srv/thesis cannot be used: Permission denied. Give another path, or change who may read and write it."
    ]
    answer = json.loads(phf("report", tmp_path, "--json").stdout)
    assert answer["exit_status"] == 2
    assert answer["error"].startswith("/srv/thesis cannot be used: Permission denied.")


def test_a_file_that_phf_itself_misses_is_a_defect(tmp_path, monkeypatch):
    def miss(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "template.j2")

    monkeypatch.setattr("phf.report.page.write_report", miss)
    assert isinstance(phf("report", tmp_path).exception, FileNotFoundError)


@pytest.mark.parametrize(
    "arguments", [["train", "--task", "pep8/quickstart", "--method", "mle"], ["list"], ["annotate", "a"], ["cache"]]
)
def test_a_folder_that_was_removed_is_a_mistake(arguments, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = phf(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: The folder that the command was started in was removed.")


def test_processes_that_may_not_be_started_are_a_mistake_too(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/usr/bin/python")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.Popen", refuse)
    result = phf("annotate", "python-stdlib", "--scorer", "PEP8Scorer", "--output", "out", "--workers", "1")
    assert result.exit_code == 2
    assert "Error: /usr/bin/python cannot be used: Permission denied." in result.stderr
