"""Stopping when a scheduler asks for it, and checkpoints at intervals of time: all processes save the same step.

A signal reaches some processes and not others, in the middle of different steps, and their clocks differ. So what any of
them wants is combined after each step; the result is read one step later, when it has long arrived: no process waits for it.
"""

import math
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from phf.errors import AGAIN, OutputError
from phf.workers.interruption import Requests, StoppedError


class Agreement:
    """The largest of each number that any process gave, the same in all processes.

    Args:
        timeout_s: seconds that a process may be behind the others, as when it evaluates.
    """

    def __init__(self, num_processes: int, timeout_s: float) -> None:
        self._group: Any = None
        self._is_alone = num_processes < 2
        self._pending: tuple[Any, torch.Tensor] | None = None
        if not self._is_alone and dist.get_backend() != "gloo":
            # through the CPUs: an accelerator works through its queue meanwhile
            self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))

    def exchange(self, numbers: list[int]) -> list[int]:
        """Give this process's numbers; returns what the last call agreed on, zeros at the first. Alone: at once."""
        if self._is_alone:
            return numbers
        last = self.finish()
        largest = torch.tensor(numbers, dtype=torch.int64)
        self._pending = dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._group, async_op=True), largest
        return [0] * len(numbers) if last is None else last

    def agree(self, numbers: list[int]) -> list[int]:
        """The largest of each number that any process has given by now: waits for the others, which must all call it."""
        last = self.exchange(numbers)
        now = self.finish()
        return last if now is None else [max(pair) for pair in zip(last, now, strict=True)]

    def finish(self) -> list[int] | None:
        """What the last call of `exchange` agreed on; None if it was read already."""
        if self._pending is None:
            return None
        work, agreed = self._pending
        self._pending = None
        work.wait()
        return agreed.tolist()


class Preemption(TrainerCallback):
    """Saves a checkpoint and ends training after SIGTERM, SIGUSR1 or SIGHUP, and saves one every `save_minutes`.

    Comes after the evaluations in Trainer's callbacks, so that a step that is saved has been evaluated, unless a signal
    interrupted the evaluation: that is then made when the run is resumed.

    Attributes:
        requests: what signals have asked of this process.
        stopped_by: number of the signal that ended training; 0 if none did.
    """

    requests: Requests

    def __init__(
        self, agreement: Agreement, save_minutes: float | None, is_main: bool, announce: Callable[[str], None]
    ) -> None:
        self.agreement = agreement
        self.announce = announce
        self.stopped_by = 0
        self._save_seconds = 60 * save_minutes if save_minutes is not None and is_main else math.inf
        self._saved_at = time.monotonic()
        self._saved_step = -1
        self._has_asked = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saved_at = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        asks = not self._has_asked and time.monotonic() - self._saved_at >= self._save_seconds
        self._has_asked = self._has_asked or asks
        agreed, save = self.agreement.exchange([self.requests.first, int(asks)])
        if stop := self.stopped_by or agreed:
            self.interrupted(stop)
            self.announce(f"{_name(stop)}: saving step {state.global_step:,} in a checkpoint, then stopping")
            control.should_training_stop = True
        if stop or save:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saved_at, self._saved_step = time.monotonic(), state.global_step
        self._has_asked = False

    def end(self, step: int, *, is_finished: bool) -> bool:
        """Called when training has ended, at `step`, and when the evaluations after it have; whether it was asked to stop, so
        that nothing more is to be done.

        A run that has not saved `step` has nothing to resume from, nor has one that is finished anything left to do: from here
        on a signal ends it as it ends any command.
        """
        # a signal may have reached some processes since the last step: either all end here, or none
        asked, _ = self.agreement.agree([self.requests.first, 0])
        if asked and self._saved_step == step:
            self.interrupted(asked)
        if is_finished or self._saved_step != step:
            self.requests.release()
        return self.stopped_by > 0

    def interrupted(self, signum: int) -> None:
        """Called in all processes when training is to be ended by this signal."""
        self.stopped_by = signum
        self.requests.first = self.requests.first or signum  # a launcher may send it to the others when one has ended

    def ending(self, run_dir: Path, step: int, is_resumable: bool) -> StoppedError:
        """What ends the program; at step 0 there is no checkpoint."""
        if not step:
            return StoppedError(
                f"Stopped by {_name(self.stopped_by)} before the first step: {run_dir}. To begin again, {AGAIN}."
            )
        advice = f"To continue, {AGAIN}." if is_resumable else "It has weights only (training.save_only_model)."
        return StoppedError(
            f"Stopped by {_name(self.stopped_by)} after step {step:,}: {run_dir}/checkpoint-{step}. {advice}"
        )


def unfinished(run_dir: Path, step: int, max_steps: int) -> OutputError:
    """The error of a run that ended without having been asked to, so that its model is not exported as a finished one."""
    return OutputError(
        f"Training ended after step {step:,} of {max_steps:,}, so {run_dir} has no model yet. To continue from its last "
        f"checkpoint, {AGAIN}."
    )


def _name(signum: int) -> str:
    return signal.Signals(signum).name
