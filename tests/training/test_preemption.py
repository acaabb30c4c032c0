"""A run that is asked to stop saves the step it is at, says so with a status of its own, and resumes to the same numbers."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.forked import Forked
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config
from phf.errors import AGAIN, ConfigError, OutputError
from phf.storage.file_list import damaged_files
from phf.training import preemption
from phf.training.callbacks import LogCallback
from phf.training.plan import plan_run
from phf.training.preemption import Agreement, Preemption
from phf.training.run import train
from phf.workers.interruption import Requests, StoppedError, Terminated, output_closed

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
SLOW_STEPS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell is started without
from phf.training.preemption import Preemption
on_step_end = Preemption.on_step_end
def slow(self, args, state, control, **kwargs):
    time.sleep(0.2)
    on_step_end(self, args, state, control, **kwargs)
Preemption.on_step_end = slow
from phf.cli.app import main
main()
"""
"""A program that is `phf`, with steps that last long enough for a signal."""
SLOW_WRITING = """
import time, torch
from pathlib import Path
save = torch.save
def paused(value, path, *arguments, **settings):
    save(value, path, *arguments, **settings)
    if str(path).endswith("optimizer.pt"):
        Path({mark!r}).touch()
        time.sleep(3)
torch.save = paused
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Dropout, so that the random state matters."""
    source = tiny_corpus(tmp_path_factory.mktemp("corpus"))
    changes = {"model.config_kwargs.resid_pdrop": 0.1, "training.save_steps": 100, "training.logging_steps": 3}
    changes["training.save_total_limit"] = 5
    return tiny_config(source, "awr", **QUIET, **changes, **{"training.num_tokens": 12 * 4 * 64})


def losses(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.fixture
def nothing_ignored():
    """Signals as a shell leaves them; under nohup, SIGHUP is ignored, and stays so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def stop_at(step, signum=signal.SIGTERM):
    def show(shown_step, max_steps, numbers):
        if shown_step == step:
            os.kill(os.getpid(), signum)

    return show


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_the_step_is_saved_and_the_resumed_run_is_the_same(config, whole, tmp_path, sent, nothing_ignored):
    run_dir, said = tmp_path / "run", []
    with pytest.raises(
        StoppedError, match=f"Stopped by {sent} after step 4: .*/checkpoint-4. To continue, run the same command again"
    ):
        train(config, run_dir, show=stop_at(3, getattr(signal, sent)), announce=said.append)
    assert f"{sent}: saving step 4 in a checkpoint, then stopping" in said
    assert [path.name for path in run_dir.glob("checkpoint-*")] == ["checkpoint-4"]
    assert damaged_files(run_dir / "checkpoint-4") == []
    assert not (run_dir / "model").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    train(config, run_dir, resume=True)
    assert losses(run_dir) == losses(whole)
    for name in ("model/model.safetensors", "model/value_head.pt"):
        assert (run_dir / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_whose_output_is_not_read_any_more_is_saved(config, whole, tmp_path):
    """A scheduler stops all of `phf train | tee log`, and `tee` may be the first to end."""
    output = os.open(os.devnull, os.O_WRONLY)

    def show(shown_step, max_steps, numbers):
        if shown_step == 3:
            output_closed(output)

    with pytest.raises(StoppedError, match="Stopped by SIGPIPE after step 4"):
        train(config, tmp_path / "run", show=show)
    os.close(output)
    train(config, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole)


def test_a_run_that_is_asked_to_stop_at_its_end_is_exported_when_resumed(config, whole, tmp_path):
    def show(step, max_steps, numbers):
        if step == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    run_dir = tmp_path / "run"
    with pytest.raises(StoppedError, match="checkpoint-12"):
        train(config, run_dir, show=show)
    assert not (run_dir / "model").exists()
    train(config, run_dir, resume=True)
    assert (run_dir / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


def test_checkpoints_by_the_clock_change_nothing_else(config, whole, tmp_path, monkeypatch):
    seconds = iter(range(10**6))

    class Clock:
        @staticmethod
        def monotonic():
            return next(seconds)  # one second for each look at it: one a step, one for each checkpoint

    monkeypatch.setattr(preemption, "time", Clock)
    timed = config.model_copy(update={"training": config.training.model_copy(update={"save_minutes": 4 / 60})})
    train(timed, tmp_path / "run")
    names = sorted(int(path.name.partition("-")[2]) for path in (tmp_path / "run").glob("checkpoint-*"))
    assert names == [4, 8, 12]
    assert losses(tmp_path / "run") == losses(whole)


def test_minutes_are_enough_where_no_steps_are_to_be_saved(config, tmp_path):
    changes = {"save_minutes": 1e-9, "save_strategy": "no", "save_total_limit": 2}
    training = type(config.training).model_validate({**config.training.model_dump(), **changes})
    train(config.model_copy(update={"training": training}), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-11", "checkpoint-12"]


@pytest.mark.parametrize("minutes", [0, -1, "soon", float("inf")])
def test_minutes_that_mean_nothing_are_refused(config, minutes):
    with pytest.raises(ConfigError, match=r"training\.save_minutes"):
        tiny_config(config.dataset.datasets[0], **{"training.save_minutes": minutes})


def test_trainers_own_way_to_save_on_sigterm_is_refused(config, tmp_path):
    with pytest.raises(
        ConfigError, match=r"enable_jit_checkpoint.*SIGTERM, SIGUSR1 and SIGHUP save a checkpoint in any case"
    ):
        plan_run(tiny_config(config.dataset.datasets[0], **{"training.enable_jit_checkpoint": True}), tmp_path)


class _State:
    global_step = 5


def test_a_run_that_ends_early_for_another_reason_is_not_exported(config, whole, tmp_path, monkeypatch):
    def ends(self, args, state, control, **_):
        control.should_training_stop = state.global_step == 3

    with monkeypatch.context() as patch:
        patch.setattr(LogCallback, "on_step_end", ends)
        with pytest.raises(
            OutputError, match=r"Training ended after step 3 of \d+, so .* has no model yet. To continue from"
        ):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


def test_after_the_last_step_a_signal_ends_the_run_as_any_command():
    callback = Preemption(Agreement(1, 1.0), None, True, lambda text: None)
    callback.requests = Requests()
    assert not callback.end(5, is_finished=False)
    with pytest.raises(Terminated):
        callback.requests.receive(signal.SIGTERM, None)


def test_a_finished_run_that_saved_nothing_continues_to_its_export():
    callback = Preemption(Agreement(1, 1.0), None, True, lambda text: None)
    callback.requests = Requests()
    callback.requests.receive(signal.SIGTERM, None)
    assert not callback.end(5, is_finished=False)
    callback.on_save(None, _State, None)
    assert callback.end(5, is_finished=False)


class _SignalElsewhere(Agreement):
    """Of several processes, another one of which was sent a signal after the last step."""

    def agree(self, numbers):
        return [max(numbers[0], signal.SIGTERM), numbers[1]]


def test_a_signal_after_the_last_step_that_reached_another_process_ends_this_one_too():
    callback = Preemption(_SignalElsewhere(1, 1.0), None, True, lambda text: None)
    callback.requests = Requests()
    callback.on_save(None, _State, None)
    assert callback.end(5, is_finished=False)
    assert callback.stopped_by == signal.SIGTERM


AGREE = """
import sys
import torch.distributed as dist
from phf.training.preemption import Agreement

dist.init_process_group("gloo")
rank = dist.get_rank()
agreement = Agreement(2, 60.0)
seen = [agreement.exchange([15 if (rank, step) == (1, 2) else 0, rank]) for step in range(4)]
print(seen, agreement.finish(), agreement.finish(), agreement.agree([9 * rank, 4]))
dist.destroy_process_group()
"""


def test_all_processes_agree_on_the_largest_number_one_step_later(tmp_path):
    (tmp_path / "agree.py").write_text(AGREE)
    ranks = run_ranks([str(tmp_path / "agree.py")], tmp_path)
    assert {rank.stdout for rank in ranks} == {"[[0, 0], [0, 1], [0, 1], [15, 1]] [0, 1] None [9, 4]\n"}


ONE_IS_ASKED = """
import os, signal
from phf.training.preemption import Preemption
on_step_end = Preemption.on_step_end
def asked(self, args, state, control, **kwargs):
    if state.global_step == 3 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGUSR1)
    on_step_end(self, args, state, control, **kwargs)
Preemption.on_step_end = asked
from phf.cli.app import main
main()
"""


@pytest.mark.slow
def test_if_one_process_is_asked_all_stop_after_the_same_step_and_resume(config, whole, tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "asked.py").write_text(ONE_IS_ASKED)
    options = ["train", "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path), "--run-name", "run"]
    ranks = run_ranks([str(tmp_path / "asked.py"), *options], tmp_path, may_fail=True)
    assert [rank.status for rank in ranks] == [75, 75]
    assert "Stopped by SIGUSR1 after step 4" in ranks[0].stderr
    listed = json.loads((tmp_path / "run" / "checkpoint-4" / "files.json").read_text())["files"]
    assert {"rng_state_0.pth", "rng_state_1.pth", "log_window_0.json", "log_window_1.json"} <= set(listed)
    assert damaged_files(tmp_path / "run" / "checkpoint-4") == []
    run_ranks(["-m", "phf", *options, "--resume"], tmp_path)
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), rel=0.02)  # each process has its own dropout


def started(config, folder, before=""):
    """`phf train` of `config` into folder/run, as a process, after the code `before`."""
    (folder / "config.yaml").write_text(dump_config(config))
    (folder / "slow.py").write_text(before + SLOW_STEPS)
    command = [sys.executable, str(folder / "slow.py"), "train", "--config", str(folder / "config.yaml")]
    return Forked(
        [*command, "--output-dir", str(folder), "--run-name", "run"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_step(run_dir, step, process):
    """Until a line of this step is in the log."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if (run_dir / "metrics.jsonl").is_file() and any(key >= step for key in losses(run_dir)):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"step {step} was not reached: {process.communicate()}")


@pytest.mark.slow
def test_the_command_says_what_it_saved_and_ends_with_its_own_status(config, whole, tmp_path):
    process = started(config, tmp_path)
    wait_for_step(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 75
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    step = int(checkpoint.name.partition("-")[2])
    assert f"SIGTERM: saving step {step} in a checkpoint, then stopping" in said
    assert errors == f"Stopped by SIGTERM after step {step}: {checkpoint}. To continue, {AGAIN}.\n"
    train(config, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole)


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_signal_while_a_checkpoint_is_written_leaves_no_half_of_one(config, whole, tmp_path, sent):
    """SIGTERM: it is finished. Ctrl-C and SIGKILL: it is not there."""
    saving = tiny_config(config.dataset.datasets[0], "awr", **{**QUIET, "training.save_steps": 4})
    process = started(saving, tmp_path, SLOW_WRITING.format(mark=str(tmp_path / "writing")))
    deadline = time.monotonic() + 300
    while not (tmp_path / "writing").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, sent))
    process.communicate(timeout=300)
    names = sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*"))
    expected = {"SIGTERM": (75, ["checkpoint-4", "checkpoint-5"]), "SIGINT": (130, []), "SIGKILL": (-9, [])}
    assert (process.returncode, names) == expected[sent]
    assert all(damaged_files(tmp_path / "run" / name) == [] for name in names)
