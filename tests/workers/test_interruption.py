"""Signals: SIGTERM ends a command as Ctrl-C does, and nothing that hangs keeps a process alive."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.forked import Forked
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.workers.interruption import Terminated

SCORER = """
import os, time
from pathlib import Path

class Slow:
    segmenter = "lines"

    def score_texts(self, texts):
        Path(f"working-{os.getpid()}").touch()
        time.sleep(600)
"""
WAITING = """
import hashlib, signal, sys, time
from phf.workers import interruption
from phf.workers.interruption import ending_on_signals, exit_status

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell is started without
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it

interruption.GRACE_SECONDS = {grace}
with ending_on_signals():
    try:
        print("ready", flush=True)
        {work}
    except KeyboardInterrupt as error:
        print(type(error).__name__, flush=True)
        {cleanup}
        sys.exit(exit_status(error))
"""
IN_A_LIBRARY = "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2 * 10**9)"
"""Minutes in which Python does not get to handle a signal."""


def waiting(grace=600, work="time.sleep(600)", cleanup="pass"):
    code = WAITING.format(grace=grace, work=work, cleanup=cleanup)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("sent", "raised", "status"),
    [
        (signal.SIGTERM, "Terminated", 143),
        (signal.SIGUSR1, "Terminated", 138),
        (signal.SIGHUP, "Terminated", 129),
        (signal.SIGINT, "KeyboardInterrupt", 130),
    ],
)
def test_the_first_signal_is_raised(sent, raised, status):
    process = waiting()
    process.send_signal(sent)
    assert process.communicate(timeout=60) == (f"{raised}\n", "")
    assert process.returncode == status


@pytest.mark.parametrize("how", [{"work": IN_A_LIBRARY, "cleanup": IN_A_LIBRARY}, {"cleanup": "time.sleep(600)"}])
def test_a_second_signal_ends_at_once_whatever_is_being_done(how):
    process = waiting(**how)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Ended by SIGTERM at once. Finished work is kept" in said


def test_what_does_not_end_by_itself_is_ended():
    process = waiting(grace=0.2, work=IN_A_LIBRARY)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143


def test_a_closed_terminal_ends_a_program_that_can_still_save_its_state(tmp_path):
    saved = str(tmp_path / "saved")
    saving = f"print('saving', file=sys.stderr, flush=True); print('saving', flush=True); open({saved!r}, 'w')"
    code = WAITING.format(grace=600, work="time.sleep(600)", cleanup=saving)
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", code])
    assert b"ready" in os.read(terminal, 64)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    assert (tmp_path / "saved").exists()


SENT_WHILE_STARTING = """
import builtins, os, signal, sys, threading

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
real_import, real_start = builtins.__import__, threading.Thread.start

def importing(name, *more, **settings):
    if name == "phf.cli.app" and {moment!r} == "import":
        os.kill(os.getpid(), signal.{sent})
    return real_import(name, *more, **settings)

def start(thread):
    if {moment!r} == "handlers":
        os.kill(os.getpid(), signal.{sent})
    real_start(thread)

import phf.__main__
sys.argv = ["phf", "list"]
builtins.__import__, threading.Thread.start = importing, start
phf.__main__.main()
"""


@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("moment", ["import", "handlers"])
def test_a_signal_while_the_program_starts_is_one_line(sent, status, moment):
    code = SENT_WHILE_STARTING.format(sent=sent, moment=moment)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (status, "")
    how = "Interrupted" if sent == "SIGINT" else f"Ended by {sent}"
    again = f"{how}. Run the same command again to continue.\n"
    assert ended.stderr == {"import": f"\nEnded by {sent}.\n", "handlers": again}[moment]


def test_signals_that_come_together_are_one():
    process = waiting(cleanup="time.sleep(0.5); print('in order', flush=True)")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_handler_of_the_embedding_program_stays():
    code = """
import signal
from phf.workers.interruption import ending_on_signals
own = lambda *_: None
signal.signal(signal.SIGTERM, own)
with ending_on_signals():
    assert signal.getsignal(signal.SIGTERM) is own
signal.signal(signal.SIGTERM, signal.SIG_DFL)
with ending_on_signals():
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    subprocess.run([sys.executable, "-c", code], check=True)


REMEMBERING = """
import signal, sys, time
from phf.workers import interruption
from phf.workers.interruption import StoppedError, ending_on_signals, exit_status, remembering_signals

signal.signal(signal.SIGINT, signal.default_int_handler)
interruption.GRACE_SECONDS = 0.2
with ending_on_signals():
    try:
        with remembering_signals() as requests:
            print("ready", flush=True)
            while not requests.first:
                time.sleep(0.02)
            time.sleep({saving})
        {then}
        raise StoppedError(signal.Signals(requests.first).name)
    except KeyboardInterrupt as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(exit_status(error))
"""


def remembering(saving=1.5, then="pass"):
    code = REMEMBERING.format(saving=saving, then=then)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGUSR1"])
def test_a_signal_is_remembered_for_as_long_as_saving_takes(sent):
    process = remembering()
    process.send_signal(getattr(signal, sent))
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (75, f"StoppedError {sent}\n")


def test_a_scheduler_may_warn_first_and_ask_later():
    process = remembering(saving=2)
    process.send_signal(signal.SIGUSR1)
    time.sleep(1.2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (75, "StoppedError SIGUSR1\n")


def test_a_second_sigterm_does_not_wait_for_what_is_being_saved():
    process = remembering(saving=600)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143


def test_ctrl_c_does_not_wait_either():
    process = remembering(saving=600)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "KeyboardInterrupt \n")


def test_what_hangs_after_saving_is_ended():
    process = remembering(saving=0, then="time.sleep(600)")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143


def test_an_unread_output_ends_a_program_once(tmp_path):
    saved = str(tmp_path / "saved")
    cleanup = f"interruption.output_closed(1); print('saving', flush=True); open({saved!r}, 'w')"
    process = waiting(work="sys.stdin.readline(); interruption.output_closed(1)", cleanup=cleanup)
    assert process.communicate("go\n", timeout=60) == ("", ""), "what is printed then goes nowhere"
    assert process.returncode == 141
    assert Path(saved).exists()


@pytest.mark.parametrize("sent", ["SIGPIPE", "SIGTERM"])
def test_an_unread_output_does_not_keep_a_program_from_saving_its_state(sent):
    code = f"""
import os, signal, sys
from phf.workers.interruption import StoppedError, ending_on_signals, exit_status, output_closed, remembering_signals

with ending_on_signals():
    try:
        with remembering_signals() as requests:
            if {sent!r} == "SIGTERM":  # to the program that reads, too
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                print("saving", flush=True)
            except BrokenPipeError:
                output_closed(1)
            print("saved", flush=True)
        raise StoppedError(signal.Signals(requests.first).name)
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        sys.exit(exit_status(error))
"""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (75, f"{sent}\n")


def test_without_a_command_line_the_handlers_are_as_before():
    code = """
import os, signal, time
from phf.workers.interruption import remembering_signals
own = lambda *_: None
signal.signal(signal.SIGUSR1, own)
with remembering_signals() as requests:
    assert signal.getsignal(signal.SIGUSR1) is own
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    assert requests.first == signal.SIGTERM
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("workers", [["--workers", "2"], ["--workers", "1", "--time-limit", "0"]])
def test_annotation_ends_with_its_workers_a_message_and_a_status(workers, tmp_path):
    (tmp_path / "slow.py").write_text(SCORER)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": f"{n}\n"}) + "\n" for n in range(2000)))
    command = [sys.executable, "-m", "phf", "annotate", "corpus.jsonl", "--scorer", "slow:Slow", "--output", "out"]
    process = subprocess.Popen([*command, *workers], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (working := list(tmp_path.glob("working-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said == "Ended by SIGTERM. Finished shards are kept. Run the same command again to continue.\n"
    for path in working:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name.partition("-")[2]), 0)


@pytest.mark.parametrize(
    ("error", "status", "how"),
    [
        (Terminated, 143, "Ended by SIGTERM"),
        (Terminated(signal.SIGUSR1), 138, "Ended by SIGUSR1"),
        (Terminated(signal.SIGPIPE), 141, "Ended, since the program that reads the output has ended"),
        (KeyboardInterrupt, 130, "Interrupted"),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["train", "--task", "pep8"], "Checkpoints are kept. Add --resume to continue from the last one."),
        (["evaluate", "x", "--task", "pep8"], "Finished parts are kept. Run the same command again to continue."),
        (["redteam", "x", "--task", "pep8"], "Finished rounds are kept. Run the same command again to continue."),
    ],
)
def test_every_command_says_what_is_kept(arguments, kept, error, status, how, monkeypatch):
    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(f"phf.cli.{arguments[0]}.quiet", interrupted)
    monkeypatch.setattr("phf.cli.train.load", interrupted)
    result = CliRunner().invoke(cli.app, arguments)
    assert (result.exit_code, result.stderr) == (status, f"{how}. {kept}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], ""),
        (["list", "--json"], ""),
        (["report", "run", "--quiet"], None),
        (
            ["profile", "a.jsonl"],
            "Ended, since the program that reads the output has ended. Run the same command again.\n",
        ),
    ],
)
def test_a_command_whose_output_is_not_read_to_its_end(arguments, said, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"texts": ["a"], "scores": [0.5]}) + "\n")
    read, write = os.pipe()
    os.close(read)
    with Forked(
        [sys.executable, "-m", "phf", *arguments], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(write)
        _, told = process.communicate(timeout=60)
    if said is None:
        assert process.returncode == 2, "a mistake stays one"
    else:
        assert (process.returncode, told) == (141, said)
