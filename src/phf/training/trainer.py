"""The thin adapter over `transformers.Trainer`, and the callbacks that write the run folder.

Trainer's loop, as far as we hook into it:

    on_train_begin                      -> evaluate, if asked to: samples and held-out loss; KL
    for each step:
        training_step -> compute_loss   -> the module's loss; what it logs is added up until the next log
        _get_grad_norm                  -> the run ends if loss or gradient norm is not finite
        on_step_end                     -> evaluate, every n steps
        log, on_log                     -> one line of metrics.jsonl
        _save_checkpoint                -> checkpoint-<step>, unless a weight is not finite
    on_train_end                        -> evaluate, if asked to
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import Trainer, TrainerCallback
from transformers.integrations.neftune import activate_neftune, deactivate_neftune

from phf.errors import CorpusError, DivergedError, OutputError
from phf.feedback.objectives.logs import LogTotals, merged
from phf.storage.files import atomic_write
from phf.storage.reading import parse_json, read_bytes, typed
from phf.training.divergence import LOSS, MAX_SKIPPED_STEPS, WEIGHTS, in_any_process, is_finite_total
from phf.training.settings.arguments import Arithmetic
from phf.training.window import load_window, save_window

SECONDS_UNTIL_SHOWN = 5.0
"""After which the step is shown between two lines of the log."""


class ObjectiveTrainer(Trainer):
    """Trainer whose model is a `phf.models.ObjectiveLM`: it keeps the objective's logs and ends a run that diverges.

    Attributes:
        window: what the objective has logged since the last line.
        complete: called in each process with (step, what Trainer logs); returns what else belongs into the line.
        diverged: called in each process with (what is not finite, step, the [batch, 2] `documents` of its batches);
            returns the error to raise.
    """

    complete: Callable[[int, dict[str, float]], dict[str, float]]
    diverged: Callable[[str, int, list[Tensor]], DivergedError]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.window = LogTotals()
        self._documents: list[Tensor] = []
        self._documents_step = -1
        self._num_skipped = 0

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, with noise on the embeddings where `neftune_noise_alpha` asks for it.

        Trainer would ask our module for its embeddings, and accelerate would then divide them apart from the rest (FSDP).
        """
        alpha = self.args.neftune_noise_alpha
        self.neftune_noise_alpha = None
        if alpha is None:
            return super().train(*args, **kwargs)
        assert self.model is not None
        lm = self.model.lm
        handle = activate_neftune(lm, alpha)
        try:
            return super().train(*args, **kwargs)
        finally:
            deactivate_neftune(lm, handle)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inputs = dict(inputs)
        documents = inputs.pop("documents", None)
        if self.state.global_step != self._documents_step:
            self._documents, self._documents_step = [], self.state.global_step
        if documents is not None:
            self._documents.append(documents)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        self.window.add(outputs["totals"])
        return (loss, outputs) if return_outputs else loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Called by Trainer between the backward pass and the update of the weights."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._end_if_not_finite(norm)
        return norm

    def _end_if_not_finite(self, norm: Any) -> None:
        if norm is not None and hasattr(norm, "full_tensor"):
            norm = norm.full_tensor()
        norm = self._tr_loss if norm is None else torch.as_tensor(norm)
        is_bad_loss, is_bad_norm = in_any_process(self.accelerator, [~self._tr_loss.isfinite(), ~norm.isfinite()])
        # fp16's loss scaling overflows now and then, skips the step, and goes on with a smaller scale
        scales = self.accelerator.scaler is not None or (self.is_deepspeed_enabled and self.args.fp16)
        self._num_skipped = self._num_skipped + 1 if is_bad_norm else 0
        if not is_bad_loss and (not is_bad_norm or (scales and self._num_skipped < MAX_SKIPPED_STEPS)):
            return
        self.state.global_step += 1  # the step that is not made
        numbers = {"loss": self._tr_loss.item() / (self.state.global_step - self._globalstep_last_logged)}
        self.log({**numbers, "grad_norm": norm.item(), "learning_rate": self._get_learning_rate()})
        what = LOSS if is_bad_loss else "the norm of the gradient is not finite"
        if is_bad_norm and scales and not is_bad_loss:
            what += f" for {MAX_SKIPPED_STEPS} steps in a row, whatever fp16's loss scale"
        raise self.diverged(what, self.state.global_step, self._documents)

    def check_weights(self) -> None:
        """Raises `DivergedError` where a weight is not finite. All processes must call this."""
        assert self.model is not None
        is_finite = is_finite_total(self.model.parameters())
        if in_any_process(self.accelerator, [~is_finite])[0]:
            raise self.diverged(WEIGHTS, self.state.global_step, self._documents)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_weights()
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        """Called by Trainer in each process, before the file that marks a checkpoint as whole."""
        super()._save_rng_state(output_dir)
        save_window(
            Path(output_dir),
            self.args.process_index,
            self.window,
            self._tr_loss.item(),
            self._globalstep_last_logged,
        )
        self.accelerator.wait_for_everyone()

    def resume_window(self, checkpoint: Path) -> None:
        """Go on with the sums of a checkpoint; called when Trainer has set its own to nothing."""
        args = self.args
        found = load_window(checkpoint, args.process_index, self.accelerator.num_processes, args.device)
        if found is not None:
            self.window, loss, self._globalstep_last_logged = found
            self._tr_loss += loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete what Trainer logs of training, in each process, before any callback sees it."""
        if "loss" in logs:
            logs |= merged(gather_object([self.window.pairs()]))
            logs |= self.complete(self.state.global_step, logs)
            self.window = LogTotals()
        super().log(logs, start_time)


class MetricsFile:
    """metrics.jsonl of a run folder: one object a line, step and tokens_seen first."""

    def __init__(self, path: Path, arithmetic: Arithmetic) -> None:
        self.path = path
        self.arithmetic = arithmetic

    def append(self, step: int, numbers: dict[str, float]) -> None:
        """Append one line; a number that is not finite is written as null."""
        clean = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        line = {"step": step, "tokens_seen": self.arithmetic.tokens_seen(step), **clean}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def cut_after_step(path: Path, step: int) -> None:
    """Drop the lines of a JSON Lines file that are past `step`, or cut off: the resumed run writes them again."""
    if not path.is_file():
        return
    kept = []
    for line in read_bytes(path, OutputError).splitlines(keepends=True):
        try:
            found = typed(dict[str, Any], parse_json(line, str(path)), str(path), CorpusError)
        except CorpusError:
            continue
        if line.endswith(b"\n") and isinstance(found.get("step"), int) and found["step"] <= step:
            kept.append(line)
    with atomic_write(path) as partial:
        partial.write_bytes(b"".join(kept))


class LogCallback(TrainerCallback):
    """Writes the lines of training into metrics.jsonl, as `train/...`, and completes them before trackers see them."""

    def __init__(
        self, metrics: MetricsFile, num_parameters: int, show: Callable[[int, dict[str, float]], None]
    ) -> None:
        self.metrics = metrics
        self.num_parameters = num_parameters
        self.show = show
        self.resumed: Callable[[], None] = lambda: None
        """Called when training begins."""
        self._last: tuple[int, float] | None = None
        self._paused = 0.0
        self._shown = time.perf_counter()

    def pause(self, seconds: float) -> None:
        """Leave out time that was not spent training."""
        self._paused += seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._last = (state.global_step, time.perf_counter())
        self.resumed()

    def complete(self, step: int, logs: dict[str, float]) -> dict[str, float]:
        """What belongs into the line of `step` besides `logs`."""
        numbers = {
            "theoretical_loss": chinchilla_loss(self.num_parameters, self.metrics.arithmetic.tokens_seen(step)),
        }
        now = time.perf_counter()
        if self._last is not None and step > self._last[0]:
            tokens = (step - self._last[0]) * self.metrics.arithmetic.tokens_per_step
            numbers["tokens_per_second"] = tokens / max(now - self._last[1] - self._paused, 1e-9)
        self._last, self._paused = (step, now), 0.0
        return numbers

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
            return
        numbers = {key: value for key, value in logs.items() if key not in NOT_OF_THE_LINE}
        self.metrics.append(state.global_step, {f"train/{key}": value for key, value in numbers.items()})
        self._show(state.global_step, numbers)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and time.perf_counter() - self._shown > SECONDS_UNTIL_SHOWN:
            self._show(state.global_step, {})

    def _show(self, step: int, numbers: dict[str, float]) -> None:
        self._shown = time.perf_counter()
        self.show(step, numbers)


NOT_OF_THE_LINE = {"epoch", "num_input_tokens_seen", "train_runtime", "train_tokens_per_second"}
"""What Trainer adds to what it logs."""


class EvaluationCallback(TrainerCallback):
    """Calls `evaluate(step)` at the start, every n steps, at chosen steps and at the end, as a section says.

    The section is `generation`, which samples are drawn and held-out loss is measured by.
    It is called in every process, so that none runs ahead for long; `check` before it, in every process too.
    """

    def __init__(
        self,
        evaluate: Callable[[int], None],
        config: Any,
        log: LogCallback,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.evaluate = evaluate
        self.config = config
        self.log = log
        self.check = check
        self._done_at: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.config.run_on_train_start and state.global_step == 0:
            self._run(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        is_last = step >= state.max_steps
        if not is_last and (step % self.config.every_n_steps == 0 or step in self.config.force_call_on):
            self._run(step)

    def at_end(self, step: int) -> None:
        """Called when training has ended, before trackers close."""
        if self.config.run_on_train_end:
            self._run(step)

    def _run(self, step: int) -> None:
        if step == self._done_at:
            return
        self.check()
        start = time.perf_counter()
        self.evaluate(step)
        self._done_at = step
        self.log.pause(time.perf_counter() - start)


class EvaluationsAtEnd(TrainerCallback):
    """The last evaluations of a run. Comes before trackers in Trainer's callbacks, since these close at the end."""

    def __init__(self, evaluations: Sequence[EvaluationCallback]) -> None:
        self.evaluations = evaluations

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for evaluation in self.evaluations:
            evaluation.at_end(state.global_step)


class KLCallback(EvaluationCallback):
    """The same for `kl_gpt3_callback`. Trainer warns of two callbacks of one class."""


def chinchilla_loss(num_parameters: int, num_tokens: int) -> float:
    """Predicted loss in nats per token of a model of this size after this many tokens (arXiv 2203.15556, equation 10).

    Fitted on MassiveText with its tokenizer: a curve to compare with, not a target.
    """
    return 1.69 + 406.4 / num_parameters**0.34 + 410.7 / max(num_tokens, 1) ** 0.28
