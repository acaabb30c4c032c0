"""What a launcher says: half of it is refused, and of several processes one speaks."""

import subprocess
import sys

import pytest

from phf.errors import ConfigError
from phf.workers import launcher
from phf.workers.launcher import check_alone, check_devices, check_launcher, check_visible_gpus, shows

WHOLE = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        WHOLE,
        {**WHOLE, "RANK": "9", "LOCAL_RANK": "1", "WORLD_SIZE": "16"},
        {"WORLD_SIZE": "1"},
        {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "host"},
        {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "", "RANK": ""},
    ],
)
def test_one_process_and_whole_jobs_are_accepted(environment):
    check_launcher(environment)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "1"}, r"has RANK=1, but not LOCAL_RANK and WORLD_SIZE.*torchrun.*unset RANK for one process"),
        ({"WORLD_SIZE": "4"}, r"has WORLD_SIZE=4, but not RANK and LOCAL_RANK"),
        ({"LOCAL_RANK": "0"}, r"has LOCAL_RANK=0, but not RANK and WORLD_SIZE"),
        ({"WORLD_SIZE": "4", "RANK": "2"}, r"but not LOCAL_RANK\."),
        ({**WHOLE, "RANK": "two"}, r"RANK is 'two' in the environment; it must be a whole number"),
        ({**WHOLE, "WORLD_SIZE": "-2"}, r"WORLD_SIZE is '-2'"),
        ({**WHOLE, "RANK": "2"}, r"RANK=2 and LOCAL_RANK=1 with WORLD_SIZE=2: ranks count from 0 to WORLD_SIZE - 1"),
        ({**WHOLE, "WORLD_SIZE": "0"}, r"with WORLD_SIZE=0"),
        ({**WHOLE, "RANK": "0"}, r"RANK=0 and LOCAL_RANK=1"),
        ({**WHOLE, "MASTER_PORT": ""}, r"WORLD_SIZE is 2, but the environment lacks MASTER_PORT"),
    ],
)
def test_half_of_what_a_launcher_sets_is_refused(environment, message):
    with pytest.raises(ConfigError, match=message):
        check_launcher(environment)


def test_processes_that_would_share_a_gpu_are_refused():
    eight = {"LOCAL_WORLD_SIZE": "8"}
    with pytest.raises(ConfigError, match="8 processes were started on this machine, which has 2 visible GPUs"):
        check_devices(2, eight)
    with pytest.raises(ConfigError, match="has 1 visible GPU: "):
        check_devices(1, {**eight, "TORCHELASTIC_RUN_ID": "none"})
    check_devices(1, eight)  # a scheduler shows each process its own
    check_devices(8, eight)
    check_devices(0, eight)
    check_devices(2, {})


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"])
@pytest.mark.parametrize(
    ("named", "num_devices", "message"),
    [
        ("7", 0, "1 GPU .*of which none can be used"),
        ("0,1,9", 2, "3 GPUs .*of which 2 can be used"),
        ("GPU-8932f937-d72c, 3", 1, "2 GPUs .*of which 1 can be used"),
        ("0,0", 0, "2 GPUs .*of which none can be used"),  # CUDA refuses the whole list
    ],
)
def test_a_gpu_that_does_not_exist_is_refused(named, num_devices, message, variable):
    with pytest.raises(ConfigError, match=f"{variable} names {message}.*nvidia-smi"):
        check_visible_gpus(num_devices, {variable: named})


@pytest.mark.parametrize(
    ("named", "num_devices"), [("", 0), ("-1", 0), ("0", 1), ("0,1", 8), ("2,-1,3", 1), ("MIG-1,MIG-2", 1), ("none", 0)]
)
def test_gpus_that_are_there_or_hidden_are_not(named, num_devices):
    check_visible_gpus(num_devices, {"CUDA_VISIBLE_DEVICES": named})
    check_visible_gpus(num_devices, {})


def test_a_command_that_is_one_process_is_not_started_several_times():
    with pytest.raises(ConfigError, match=r"phf redteam was started 2 times by a launcher.*phf redteam \.\.\."):
        check_alone("redteam", WHOLE)
    check_alone("redteam", {})
    check_alone("redteam", {**WHOLE, "RANK": "0", "WORLD_SIZE": "1"})


def test_an_error_that_all_raise_is_shown_by_the_first(monkeypatch):
    shared, own = ConfigError("a"), ConfigError("b")
    shared.is_shared = True
    shown = []
    for rank, local in (("0", "0"), ("1", "1"), ("8", "0")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", local)
        shown.append((shows(shared, "a"), shows(own, "b")))
    assert shown == [(True, True), (False, False), (False, True)]  # before they have met: the first of each machine


LAUNCHED = """
import hashlib, time
from phf.workers import launcher
from phf.workers.interruption import ending_on_signals

launcher.SECONDS_BETWEEN_LOOKS, launcher.SECONDS_TO_SAVE = 0.05, {seconds}
with ending_on_signals(), launcher.ending_with_launcher({{"TORCHELASTIC_RUN_ID": "none"}}):
    try:
        print("ready", flush=True)
        {work}
    except KeyboardInterrupt as error:
        print("saved after", type(error).__name__, flush=True)
"""
LAUNCHER = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""


@pytest.mark.parametrize(
    ("work", "seconds", "expected"),
    [
        ("time.sleep(600)", 600, "saved after Terminated\n"),
        ("hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2 * 10**9)", 0.1, ""),
    ],
    ids=["it can save", "it is in a library"],
)
def test_a_process_whose_launcher_is_killed_ends(work, seconds, expected):
    code = LAUNCHED.format(work=work, seconds=seconds)
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.kill()
    said, errors = process.communicate(timeout=60)  # until the process that it started has ended, too
    assert said == expected
    assert "The launcher of this process (rank 0) has ended" in errors
    assert ("could not end within" in errors) == (not expected)


def test_other_processes_do_not_watch_their_parent(monkeypatch):
    monkeypatch.setattr(launcher.threading, "Thread", None)
    with launcher.ending_with_launcher(WHOLE):
        pass
