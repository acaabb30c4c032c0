"""`phf cache`: what is listed, what is pruned, and what is kept whatever the options say."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import phf
from phf.cli.app import app
from phf.storage.cache import entry_path, opened_entry
from phf.storage.cache_locks import lock_of

HOSTILE = "\x1b[31m[bold red]red\u202e:fire:"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("PHF_CACHE", str(folder))
    monkeypatch.delenv("PHF_CACHE_LIMIT", raising=False)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["cache", *arguments])


def add(kind, name, size=1000, days=0.0, source="a test"):
    path = entry_path(kind, name)
    with opened_entry(path, source):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    at = time.time() - days * 86_400
    os.utime(lock_of(path), (at, at))
    return path


def test_a_line_for_each_entry_the_least_recently_used_first(root):
    add("tokens", "abc", 1_500_000, days=2, source="corpus.jsonl with gpt2")
    add("annotated", "corpus-1", 10, days=9.5, source="corpus.jsonl, PEP8Scorer")
    result = run()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:-1] == [
        "kind       size    last used   in use",
        "annotated  10 B    9 days ago",
        "    made from corpus.jsonl, PEP8Scorer",
        "    corpus-1",
        "tokens     1.5 MB  2 days ago",
        "    made from corpus.jsonl with gpt2",
        "    abc",
    ]
    assert lines[-1] == f"2 entries, 1.5 MB; limit 200 GB (PHF_CACHE_LIMIT). Folder: {root}"


def test_json_for_programs(root, monkeypatch):
    monkeypatch.setenv("PHF_CACHE_LIMIT", "none")
    path = add("tokens", HOSTILE, 7, source=HOSTILE)
    result = run("--json")
    assert result.stdout.isascii()
    listed = json.loads(result.stdout)
    [entry] = listed.pop("entries")
    assert listed == {
        "problems": [],
        "exit_status": 0,
        "folder": str(root),
        "limit_bytes": None,
        "size_bytes": 7,
        "leftover_bytes": 0,
    }
    assert (entry["kind"], entry["name"], entry["path"]) == ("tokens", HOSTILE, str(path))
    assert (entry["size_bytes"], entry["in_use"], entry["source"], entry["phf"]) == (7, False, HOSTILE, phf.__version__)


def test_long_names_stay_whole_so_that_they_can_be_copied():
    source, name = "/data/" + "long/" * 30 + "corpus.jsonl, segments", "f" * 100
    add("tokens", name, source=source)
    assert {f"    made from {source}", f"    {name}"} <= set(run().output.splitlines())


def test_names_of_strangers_do_nothing_to_the_terminal():
    add("tokens", HOSTILE, source=HOSTILE)
    for output in (run().output, run("prune", "--all").output):
        assert "\\x1b[31m[bold red]red\\u202e:fire:" in output
        assert "\x1b" not in output
        assert "\u202e" not in output


def test_a_missing_folder_is_an_empty_cache(root):
    for arguments in ([], ["prune"], ["prune", "--all"], ["prune", "--kind", "tokens"]):
        result = run(*arguments)
        assert (result.exit_code, "0 entries, 0 B" in result.output) == (0, True)
    assert not root.exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--all"], []),
        (["--all", "--kind", "annotated"], ["tokens/new", "tokens/old"]),
        (["--older-than", "30d"], ["tokens/new"]),
        (["--older-than", "30d", "--kind", "tokens"], ["annotated/old", "tokens/new"]),
        (["--to", "2kB"], ["annotated/old", "tokens/new"]),
        (["--to", "3kB"], ["annotated/old", "tokens/new", "tokens/old"]),
        (["--older-than", "45d", "--to", "1kB"], ["annotated/old", "tokens/new"]),
        ([], ["annotated/old", "tokens/new", "tokens/old"]),
        (["--all", "--dry-run"], ["annotated/old", "tokens/new", "tokens/old"]),
    ],
)
def test_what_is_pruned(root, arguments, left):
    add("tokens", "old", days=50)
    add("annotated", "old", days=40)
    add("tokens", "new", days=1)
    dry = json.loads(run("prune", *arguments, "--dry-run", "--json").stdout)
    result = json.loads(run("prune", *arguments, "--json").stdout)
    removed = [f"{entry['kind']}/{entry['name']}" for entry in result["removed"]]
    assert [f"{entry['kind']}/{entry['name']}" for entry in dry["removed"]] == removed
    assert sorted(f"{path.parent.name}/{path.name}" for path in root.glob("[!.]*/*")) == left
    if "--dry-run" not in arguments:
        assert len(removed) == 3 - len(left)
        assert result["remaining_bytes"] == 1000 * len(left)


def test_the_limit_is_what_pruning_keeps_to_by_itself(root, monkeypatch):
    monkeypatch.setenv("PHF_CACHE_LIMIT", "none")
    add("tokens", "old", days=50)
    add("tokens", "new")
    assert "Removed 0 entries" in run("prune").output
    monkeypatch.setenv("PHF_CACHE_LIMIT", "1kB")
    output = run("prune").output
    assert output.splitlines()[-1] == f"Removed 1 entry, 1.0 kB; 1.0 kB left in {root}"
    assert [path.name for path in (root / "tokens").iterdir()] == ["new"]


def test_an_entry_that_another_process_uses_is_shown_and_kept():
    path = add("tokens", "abc")
    code = "from phf.storage.cache import *; keep_entry(entry_path('tokens', 'abc'), 'x'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        assert run().output.splitlines()[1].endswith("  yes")
        for arguments in (["--all"], ["--all", "--dry-run"], ["--older-than", "0s"], ["--to", "0"]):
            result = run("prune", *arguments)
            assert (result.exit_code, "Kept tokens/abc: in use" in result.output) == (0, True)
        assert path.exists()
        process.communicate("\n")
    assert "Removed 1 entry" in run("prune", "--all").output
    assert not path.exists()


def test_what_a_killed_process_left_is_shown_and_removed(root):
    add("tokens", "abc")
    (root / "tokens" / ".def.1234.partial").mkdir()
    (root / "tokens" / ".def.1234.partial" / "ids.bin").write_bytes(b"x" * 2000)
    assert "Processes that ended early left 2.0 kB; phf cache prune removes it." in run().output
    assert "Would remove 0 entries, 0 B, and 2.0 kB of processes" in run("prune", "--dry-run").output
    assert "Removed 0 entries, 0 B, and 2.0 kB of processes" in run("prune").output
    assert [path.name for path in (root / "tokens").iterdir()] == ["abc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "--all", "--to", "5GB"], "--all removes everything"),
        (["prune", "--to", "5XX"], "--to 5XX: is not a size. Write it like 50GB, 500MB or 20GiB."),
        (["prune", "--older-than", "soon"], "--older-than soon: is not an age. Write it like 30d, 12h or 2w."),
        (["prune", "--kind", "tokns"], "--kind tokns: the cache has no such kind. Did you mean 'tokens'?"),
        (["--json", "prune"], "Put --json after prune."),
    ],
)
def test_a_mistake_is_one_message_and_status_2(arguments, message):
    path = add("tokens", "abc")
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert path.exists()


def test_an_option_given_twice_is_refused_after_the_subcommand_too():
    result = run("prune", "--to", "1GB", "--to", "2GB")
    assert result.exit_code == 2
    assert "--to is given 2 times" in result.stderr


def test_a_bad_limit_is_a_mistake(monkeypatch):
    monkeypatch.setenv("PHF_CACHE_LIMIT", "lots")
    for arguments in ([], ["prune"]):
        result = run(*arguments)
        assert (result.exit_code, "PHF_CACHE_LIMIT lots: is not a size" in result.stderr) == (2, True)


def test_what_cannot_be_removed_is_an_error_that_names_it(root, monkeypatch):
    path = add("tokens", "abc")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "rename", refuse)
    result = run("prune", "--all")
    assert result.exit_code == 2
    assert f"{path} cannot be removed: Permission denied" in result.stderr


def test_a_cache_that_is_deleted_meanwhile_is_not_an_error(root, monkeypatch):
    add("tokens", "abc")
    monkeypatch.setattr("phf.storage.cache_entries.is_in_use", lambda path: shutil.rmtree(root, ignore_errors=True))
    assert run().exit_code == 0
