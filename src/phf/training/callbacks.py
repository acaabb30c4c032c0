"""The callbacks of a run: what writes its log, and what evaluates while it trains."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

from phf.runs.writer import RunWriter
from phf.training.inspection.steps import InspectedSteps
from phf.training.meter import Meter
from phf.training.preemption import Preemption
from phf.training.settings.arguments import Arithmetic
from phf.workers.interruption import WorkInterrupted

SECONDS_UNTIL_SHOWN = 5.0
"""Seconds after which the step is shown between two lines of the log."""


class LogCallback(TrainerCallback):
    """Writes the lines of training into metrics.jsonl, as `train/...`, and completes them before trackers see them."""

    def __init__(
        self,
        writer: RunWriter,
        arithmetic: Arithmetic,
        num_parameters: int,
        meter: Meter,
        show: Callable[[int, dict[str, float]], None],
    ) -> None:
        self.writer = writer
        self.arithmetic = arithmetic
        self.num_parameters = num_parameters
        self.meter = meter
        self.show = show
        self.resumed: Callable[[], None] = lambda: None
        """Called when training begins."""
        self._shown = time.perf_counter()

    def append(self, step: int, numbers: dict[str, float]) -> None:
        """Append a line to metrics.jsonl."""
        self.writer.append_metrics(step, self.arithmetic.tokens_seen(step), numbers)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meter.begin(state.global_step)
        self.resumed()

    def complete(self, step: int, logs: dict[str, float]) -> dict[str, float]:
        """The rest of the line of `step`, besides `logs`."""
        return {"theoretical_loss": chinchilla_loss(self.num_parameters, self.arithmetic.tokens_seen(step))}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
            return
        numbers = {key: value for key, value in logs.items() if key not in NOT_OF_THE_LINE}
        self.append(state.global_step, {f"train/{key}": value for key, value in numbers.items()})
        self._show(state.global_step, numbers)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.meter.step_made(state.global_step)
        if state.is_world_process_zero and time.perf_counter() - self._shown > SECONDS_UNTIL_SHOWN:
            self._show(state.global_step, self.meter.time_left(state.global_step))

    def _show(self, step: int, numbers: dict[str, float]) -> None:
        self._shown = time.perf_counter()
        self.show(step, numbers)


NOT_OF_THE_LINE = {"epoch", "num_input_tokens_seen", "train_runtime", "train_tokens_per_second"}
"""Keys that Trainer adds to its logs."""


class InspectionCallback(TrainerCallback):
    """Inspects what the model was given in a step, when it is complete, in every process.

    Args:
        inspect: called with an inspected step.
    """

    def __init__(self, steps: InspectedSteps, inspect: Callable[[int], None], meter: Meter) -> None:
        self.steps = steps
        self.inspect = inspect
        self.meter = meter

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.steps.has(state.global_step):
            start = time.perf_counter()
            self.inspect(state.global_step)
            self.meter.pause(time.perf_counter() - start)


class EvaluationCallback(TrainerCallback):
    """Calls `evaluate(step)` at the start, every n steps, at chosen steps and at the end, as a section says.

    The section is `generation`, which configures samples and held-out loss. Whatever is called is called in every process, so
    that none runs ahead for long.

    Args:
        check: called before `evaluate`.
        was_made: whether the log of a resumed run has the evaluation of a step, which a signal may have interrupted.
    """

    def __init__(
        self,
        evaluate: Callable[[int], None],
        config: Any,
        log: LogCallback,
        preemption: Preemption,
        check: Callable[[], None],
        was_made: Callable[[int], bool],
    ) -> None:
        self.evaluate, self.check, self.was_made = evaluate, check, was_made
        self.config = config
        self.log = log
        self.preemption = preemption
        self._begun_at = 0
        self._done_at: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = self._begun_at = state.global_step
        if self.config.run_on_train_start if step == 0 else self._is_due(state) and not self.was_made(step):
            self._run(step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._is_due(state) and not self.preemption.stopped_by:
            try:
                self._run(state.global_step)
            except WorkInterrupted as interruption:
                self.preemption.interrupted(interruption.signum)

    def at_end(self, step: int) -> None:
        """Called when training has ended, before trackers close."""
        if self.config.run_on_train_end and not (step == self._begun_at and self.was_made(step)):
            self._run(step)

    def _is_due(self, state: Any) -> bool:
        step = state.global_step
        is_last = step >= state.max_steps
        return not is_last and (step % self.config.every_n_steps == 0 or step in self.config.force_call_on)

    def _run(self, step: int) -> None:
        if step == self._done_at:
            return
        self.check()
        start = time.perf_counter()
        self.evaluate(step)
        self._done_at = step
        self.log.meter.pause(time.perf_counter() - start)


class EvaluationsAtEnd(TrainerCallback):
    """The last evaluations of a run, unless it was asked to stop.

    Comes before trackers in Trainer's callbacks, since these close at the end.
    """

    def __init__(self, evaluations: Sequence[EvaluationCallback], preemption: Preemption) -> None:
        self.evaluations = evaluations
        self.preemption = preemption

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        if self.preemption.end(step, is_finished=False):
            return
        try:
            for evaluation in self.evaluations:
                evaluation.at_end(step)
        except WorkInterrupted as interruption:
            self.preemption.interrupted(interruption.signum)
        self.preemption.end(step, is_finished=True)


class KLCallback(EvaluationCallback):
    """The same for `kl_gpt3_callback`. Trainer warns of two callbacks of one class."""


def chinchilla_loss(num_parameters: int, num_tokens: int) -> float:
    """Predicted loss in nats per token of a model of this size after this many tokens (arXiv 2203.15556, equation 10).

    Fitted on MassiveText with its tokenizer: a curve to compare with, not a target.
    """
    return 1.69 + 406.4 / num_parameters**0.34 + 410.7 / max(num_tokens, 1) ** 0.28
