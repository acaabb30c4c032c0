"""A child process answers, fails, prints and ends as its parent expects."""

import os
import subprocess
import sys
import time

import pytest

from phf.errors import ConfigError, CorpusError, MissingExtraError, PhfError, ServerError
from phf.workers.child import Child, carried_error, ready, starting_ahead

MODULE = "tests.workers.talking_child"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}


@pytest.fixture
def child():
    child = Child(MODULE, ENVIRONMENT, echo=False)
    yield child
    child.stop()


def answers(child, seconds=20.0):
    """All answers until the child has ended, and how it did."""
    messages = []
    deadline = time.monotonic() + seconds
    while (status := child.exit_status()) is None and time.monotonic() < deadline:
        if ready([child], 0.1):
            messages += child.read()
    return messages, status


def first(child):
    while not ready([child], 1.0):
        assert child.exit_status() is None
    return child.read()[0]


def test_what_is_attached_arrives_as_it_is_and_more_than_a_pipe_holds(child):
    content = bytes(range(256)) * 4096 + b"\n{}\n"
    child.send({"do": "count"}, content)
    assert first(child) == {"length": len(content), "sum": sum(content)}
    child.send({"do": "count"})
    assert first(child) == {"length": 0, "sum": 0}


def test_what_libraries_print_is_kept_and_mixes_with_no_answer(child):
    child.send({"do": "print"})
    child.send({"do": "exit", "status": 3})
    assert answers(child) == ([{"printed": True}], "exit status 3")
    assert child.last_output == "to stdout\nto stderr"


def test_standard_input_is_empty_for_whatever_the_work_starts(child):
    child.send({"do": "read"})
    assert first(child) == {"read": ["", ""]}


@pytest.mark.parametrize("name", ["ConfigError", "BadRowError", "MissingExtraError"])
def test_an_error_keeps_its_class_or_the_nearest_that_is_known(name, child):
    expected = {"ConfigError": ConfigError, "BadRowError": CorpusError, "MissingExtraError": MissingExtraError}
    child.send({"do": "raise", "name": name})
    with pytest.raises(expected[name], match="it"):
        first(child)


def test_errors_whose_constructors_make_the_message_are_carried_over_too():
    assert isinstance(carried_error(["ServerError", "PhfError"], "no answer"), ServerError)
    assert str(carried_error(["MissingExtraError"], "install it")) == "install it"
    assert type(carried_error(["NobodysError"], "x")) is PhfError


def test_a_child_that_is_killed_says_by_what(child):
    child.send({"do": "kill"})
    assert answers(child) == ([], "signal 9")
    child.send({"do": "count"}, b"x" * 10**6)  # nobody reads it, and nothing happens


PARENT = """
import sys, time
from phf.workers.child import Child, ready
child = Child({module!r}, echo=False)
child.send({{"do": "sleep"}})
ready([child], 20)
print(child.read()[0]["pid"], flush=True)
import os, signal
if sys.argv[1] == "held":
    import subprocess
    subprocess.Popen(["sleep", "60"], pass_fds=(child._stdin.fileno(),), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("pipe", ["closed", "held"])
def test_a_child_ends_with_its_parent_whatever_it_is_doing(pipe):
    parent = subprocess.run(
        [sys.executable, "-c", PARENT.format(module=MODULE), pipe],
        stdout=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
        check=False,
    )
    pid = int(parent.stdout)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_process_that_was_started_ahead_is_taken_over_once_and_ends_with_the_block(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[-1]
    )
    with starting_ahead(MODULE, 3):
        assert len(started) == 3
        child = Child(MODULE, echo=False)
        assert len(started) == 3
        child.send({"do": "count"}, b"\x05")
        assert first(child) == {"length": 1, "sum": 5}
    # those that nobody wanted end with the block, and it does not end those in use
    assert sorted(process.poll() is None for process in started) == [False, False, True]
    child.stop()
    Child(MODULE, echo=False).stop()
    assert len(started) == 4


def test_a_process_with_an_environment_of_its_own_is_not_one_that_was_started_ahead():
    with starting_ahead(MODULE, 1):
        child = Child(MODULE, {**ENVIRONMENT, "OF_ITS_OWN": "x"}, echo=False)
        child.send({"do": "count"}, b"\x05")
        assert first(child) == {"length": 1, "sum": 5}
        child.stop()


@pytest.mark.parametrize(
    ("name", "default"), [("OPENBLAS_NUM_THREADS", "1"), ("MALLOC_TRIM_THRESHOLD_", str(64 * 2**20))]
)
@pytest.mark.parametrize("own", [None, "4"])
def test_threads_and_memory_of_a_child_are_as_for_many_alike_unless_the_user_has_set_them(
    own, name, default, monkeypatch
):
    if own is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, own)
    child = Child(MODULE, ENVIRONMENT, echo=False)
    child.send({"do": "environment", "name": name})
    assert first(child) == {"value": own or default}
    child.stop()
