"""The cache: made once, held by who uses it, kept to its size, and nothing lost that is in use."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import phf
from phf.errors import ConfigError, OutputError
from phf.storage import cache, cache_locks
from phf.storage.cache import entry_path, keep_entry, made_once, opened_entry, size_limit, trim
from phf.storage.cache_entries import entries, prune, remove
from phf.storage.cache_locks import cache_root, is_in_use, lock_of, record_of

DAY = 86_400


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("PHF_CACHE", str(folder))
    monkeypatch.delenv("PHF_CACHE_LIMIT", raising=False)
    return folder


def other_process(code):
    """Another process, in which `code` has run up to its last line: it waits there until it is killed."""
    script = f"import time\nfrom phf.storage.cache import *\n{code}\nprint('ready', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def add(kind, name, size=1000, days=0.0, source="a test"):
    """An entry that is not in use, last used this many days ago."""
    path = entry_path(kind, name)
    with opened_entry(path, source):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    at = time.time() - days * DAY
    os.utime(lock_of(path), (at, at))
    return path


def names(listed):
    return [entry.name for entry in listed]


def test_an_entry_is_made_once_and_says_what_made_it(root):
    calls = []

    def make(partial):
        calls.append(partial)
        partial.mkdir()
        (partial / "ids.bin").write_bytes(b"12345")

    path = entry_path("tokens", "abc")
    for _ in range(2):
        assert made_once(path, "corpus.jsonl with gpt2", make) == path
    assert len(calls) == 1
    [entry] = entries(root)
    assert (entry.path, entry.kind, entry.name, entry.size, entry.is_in_use) == (path, "tokens", "abc", 5, True)
    assert entry.record["source"] == "corpus.jsonl with gpt2"
    assert entry.record["phf"] == phf.__version__
    assert entry.record["made_at"].endswith("+00:00")
    assert sorted(path.parent.iterdir()) == [path], "nothing is left of the making"


def test_what_fails_while_it_is_made_leaves_nothing(root):
    def make(partial):
        partial.write_text("half")
        raise ZeroDivisionError

    path = entry_path("tokens", "abc")
    with pytest.raises(ZeroDivisionError):
        made_once(path, "x", make)
    assert list(path.parent.iterdir()) == []
    assert made_once(path, "x", lambda partial: partial.write_text("whole")).read_text() == "whole"


def test_an_incomplete_entry_is_rebuilt_and_that_is_announced(root):
    path = entry_path("tokens", "abc")
    path.mkdir(parents=True)
    announced = []
    made_once(
        path,
        "x",
        lambda partial: (partial.mkdir(), (partial / "meta.json").touch()),
        is_whole=lambda path: (path / "meta.json").exists(),
        announce=announced.append,
    )
    assert (path / "meta.json").exists()
    assert announced == [f"{path} is damaged, incomplete or from another version; it is rebuilt."]
    assert list(path.parent.iterdir()) == [path]


def test_two_processes_that_want_the_same_make_it_once(root):
    code = """
import os, sys, time
from pathlib import Path
from phf.storage.cache import entry_path, made_once

def make(partial):
    with open(sys.argv[1], "a") as log:
        log.write(f"{os.getpid()}\\n")
    partial.mkdir()
    time.sleep(0.5)
    (partial / "a").write_text(str(os.getpid()))

path = made_once(entry_path("tokens", "abc"), "x", make)
print((path / "a").read_text())
"""
    log = root.parent / "log"
    commands = [subprocess.Popen([sys.executable, "-c", code, log], stdout=subprocess.PIPE, text=True) for _ in "ab"]
    outputs = [command.communicate(timeout=30)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0]
    makers = log.read_text().split()
    assert len(makers) == 1
    assert [output.strip() for output in outputs] == makers * 2


def test_a_process_that_uses_an_entry_protects_it_and_its_end_does_not(root):
    path = add("tokens", "abc")
    process = other_process("keep_entry(entry_path('tokens', 'abc'), 'x')")
    try:
        assert is_in_use(path)
        assert not remove(path)
        pruned = prune(root)
        assert (names(pruned.removed), names(pruned.in_use)) == ([], ["abc"])
        assert path.exists()
    finally:
        process.kill()
        process.wait()
    assert not is_in_use(path)
    assert names(prune(root).removed) == ["abc"]
    assert not path.exists()
    assert not record_of(path).exists()


def test_a_fork_of_a_process_that_has_ended_still_protects_what_it_maps(root):
    path = add("tokens", "abc")
    code = (
        "keep_entry(entry_path('tokens', 'abc'), 'x')\nimport os\nchild = os.fork()\nif child: print(child, flush=True)"
    )
    script = f"import time\nfrom phf.storage.cache import *\n{code}\nif not child: time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.wait()
        try:
            assert is_in_use(path)
        finally:
            os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_in_use(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_in_use(path)


def test_what_a_living_process_is_making_is_left_and_what_a_dead_one_began_goes(root):
    process = other_process(
        "make = lambda p: (p.write_text('12'), print('ready', flush=True), time.sleep(60))\n"
        "made_once(entry_path('tokens', 'abc'), 'x', make)"
    )
    try:
        [entry] = entries(root)
        assert (entry.name, entry.is_in_use, entry.size) == ("abc", True, 2)
        assert prune(root).leftover_bytes == 0
        assert len(list((root / "tokens").iterdir())) == 1
    finally:
        process.kill()
        process.wait()
    assert entries(root) == []
    assert prune(root, dry_run=True).leftover_bytes == 2
    assert prune(root).leftover_bytes == 2
    assert list((root / "tokens").iterdir()) == []
    assert list((root / ".entries" / "tokens").iterdir()) == [], "nor is anything noted of it"


def test_the_least_recently_used_go_first_until_the_limit_is_kept(root, monkeypatch):
    for name, days in {"a": 3, "b": 1, "c": 2, "d": 4}.items():
        add("tokens", name, 1000, days)
    monkeypatch.setenv("PHF_CACHE_LIMIT", "2500")
    with pytest.warns(UserWarning, match=r"limited to 2\.5 kB .*removed tokens/d \(1\.0 kB\), tokens/a \(1\.0 kB\)"):
        trim(root)
    assert names(entries(root)) == ["c", "b"]


def test_what_a_dead_process_left_goes_first_and_only_where_the_limit_is_exceeded(root, monkeypatch):
    add("tokens", "a", 1000)
    left = root / "tokens" / ".b.pieces.partial"
    left.write_bytes(b"x" * 1000)
    monkeypatch.setenv("PHF_CACHE_LIMIT", "2kB")
    trim(root)
    assert left.exists(), "the next process may go on from it"
    monkeypatch.setenv("PHF_CACHE_LIMIT", "1kB")
    trim(root)
    assert not left.exists()
    assert names(entries(root)) == ["a"]


def test_opening_an_entry_makes_it_the_most_recently_used(root):
    old = add("tokens", "old", days=9)
    add("tokens", "newer", days=1)
    assert names(entries(root)) == ["old", "newer"]
    keep_entry(old, "x")
    assert names(entries(root)) == ["newer", "old"]
    assert entries(root)[1].record["source"] == "a test", "what made it is known already"


def test_making_an_entry_makes_room_for_it(root, monkeypatch):
    monkeypatch.setenv("PHF_CACHE_LIMIT", "1.5kB")
    add("tokens", "old", 1000, 2)
    with pytest.warns(UserWarning, match="removed tokens/old"):
        made_once(entry_path("tokens", "new"), "x", lambda partial: partial.write_bytes(b"x" * 1000))
    assert names(entries(root)) == ["new"]


def test_what_is_in_use_may_exceed_the_limit_and_that_is_announced(root, monkeypatch):
    monkeypatch.setenv("PHF_CACHE_LIMIT", "500")
    with pytest.warns(
        UserWarning, match=r"holds 1\.0 kB, more than its limit of 500 B .*none of it can be removed now"
    ):
        path = made_once(entry_path("tokens", "new"), "x", lambda partial: partial.write_bytes(b"x" * 1000))
    assert path.exists()


@pytest.mark.parametrize("text", ["50", "1kB", "2GiB", "1.5 TB", "none", "NONE"])
def test_limits_that_are_understood(monkeypatch, text):
    monkeypatch.setenv("PHF_CACHE_LIMIT", text)
    expected = {"50": 50, "1kB": 1000, "2GiB": 2**31, "1.5 TB": 1_500_000_000_000}
    assert size_limit() == expected.get(text)


@pytest.mark.parametrize("text", ["0", "-1GB", "many", "5XB", "1e400GB", "5 0GB", "nan", "inf", "10%"])
def test_a_limit_that_is_not_a_size_is_refused_before_anything_is_made(root, monkeypatch, text):
    monkeypatch.setenv("PHF_CACHE_LIMIT", text)
    with pytest.raises(ConfigError, match="PHF_CACHE_LIMIT"):
        entry_path("tokens", "abc")
    assert not root.exists()


def test_age_and_kind_restrict_what_goes(root):
    add("tokens", "old", days=40)
    add("tokens", "new", days=1)
    add("annotated", "old", days=40)
    assert names(prune(root, older_than=30 * DAY, kinds=["tokens"], dry_run=True).removed) == ["old"]
    assert len(entries(root)) == 3, "a dry run removes nothing"
    assert names(prune(root, older_than=30 * DAY, kinds=["tokens"]).removed) == ["old"]
    assert [(entry.kind, entry.name) for entry in entries(root)] == [("annotated", "old"), ("tokens", "new")]


def test_files_that_are_not_the_caches_own_are_left_alone(root):
    add("tokens", "abc")
    mine = [root / "tokens" / "notes.txt", root / "photos" / "me.jpg", root / "annotated" / "thesis"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert names(prune(root).removed) == ["abc"]
    assert all(path.read_text() == "mine" for path in mine)


def test_entries_of_earlier_versions_are_known_by_their_names(root):
    earlier = ["annotated/corpus.jsonl-0123456789abcdef", f"blocks/{'ab' * 16}", f"thresholds/{'cd' * 16}.json"]
    for name in [*earlier, f"blocks/{'ef' * 16}.partial", f"blocks/{'ef' * 16}.lock"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("123")
    assert {f"{entry.kind}/{entry.name}" for entry in entries(root)} == set(earlier)
    assert {entry.record for entry in entries(root)} == {None}
    pruned = prune(root)
    assert (len(pruned.removed), pruned.leftover_bytes) == (3, 3)


def test_a_link_is_removed_and_not_what_it_points_to(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"x" * 5000)
    path = add("tokens", "abc")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    [entry] = entries(root)
    assert entry.size < 5000
    assert remove(path)
    assert not path.is_symlink()
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_missing_cache_holds_nothing_and_one_that_is_a_file_is_an_error(root):
    assert entries(root) == []
    assert prune(root).removed == []
    assert not root.exists()
    root.write_text("a file")
    with pytest.raises(OutputError, match="PHF_CACHE"):
        entries(root)
    with pytest.raises(OutputError, match="PHF_CACHE"):
        made_once(entry_path("tokens", "abc"), "x", lambda partial: partial.touch())


def test_a_full_disk_is_an_error_that_says_how_to_make_room(root):
    def make(partial):
        partial.write_text("half")
        raise OSError(28, "No space left on device", str(partial))

    with pytest.raises(OutputError, match=r"No space left on device\. Make room \(phf cache prune\), or set PHF_CACHE"):
        made_once(entry_path("tokens", "abc"), "x", make)
    assert list((root / "tokens").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_read(root, monkeypatch):
    path = add("tokens", "abc")

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cache_locks.os, "open", refuse)
    monkeypatch.setattr(cache, "write_json_atomic", refuse)
    assert made_once(path, "x", lambda partial: 1 / 0) == path
    with pytest.raises(OutputError, match="cannot be removed"):
        remove(path)
    pruned = prune(root)
    assert list(pruned.failed) == [path]
    assert path.exists()


def test_without_locks_entries_are_made_and_none_is_removed(root, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    path = add("tokens", "abc")
    monkeypatch.setattr(cache_locks.fcntl, "flock", flock)
    monkeypatch.setenv("PHF_CACHE_LIMIT", "10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made_once(entry_path("tokens", "new"), "x", lambda partial: partial.write_bytes(b"x" * 1000))
    assert {entry.is_in_use for entry in entries(root)} == {None}
    assert names(prune(root).removed) == names(prune(root, dry_run=True).removed) == []
    assert path.exists()


def test_an_entry_with_a_damaged_record_is_not_forgotten(root):
    path = add("tokens", "abc")
    record_of(path).write_text("{")
    [entry] = entries(root)
    assert entry.record is None
    record_of(path).write_text(json.dumps({"kind": 1}))
    assert entries(root)[0].record is None


def test_a_cache_that_was_deleted_meanwhile_is_held_again(root):
    import shutil

    path = keep_entry(add("tokens", "abc"), "x")
    shutil.rmtree(root)
    assert not lock_of(path).exists()
    keep_entry(path, "x")
    assert is_in_use(path)


def test_the_folder_is_that_of_the_environment(monkeypatch):
    monkeypatch.delenv("PHF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_root() == Path("/somewhere/phf")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_root() == Path("~/.cache/phf").expanduser()
    monkeypatch.setenv("PHF_CACHE", "~/mine")
    assert cache.cache_root() == Path("~/mine").expanduser()


def test_a_user_without_a_home_learns_what_to_set(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    for name in ("PHF_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(ConfigError, match=r"is not known: no home folder\. Set PHF_CACHE"):
        cache_root()
