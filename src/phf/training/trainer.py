"""The thin adapter over `transformers.Trainer`, and the callbacks that write the run folder.

Trainer's loop, as far as we hook into it:

    on_train_begin                      -> evaluate, if asked to: samples and held-out loss; KL
    for each step:
        training_step -> compute_loss   -> the module's loss; its logs are kept until the next log
        on_step_end                     -> evaluate, every n steps
        on_log                          -> one line of metrics.jsonl
        on_save                         -> checkpoint-<step>
    on_train_end                        -> evaluate, if asked to
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from phf.data.files import atomic_write
from phf.errors import CorpusError, OutputError
from phf.objectives import IGNORE_INDEX
from phf.reading import parse_json, read_bytes, typed
from phf.training.arguments import Arithmetic


class ObjectiveTrainer(Trainer):
    """Trainer whose model is a `phf.models.ObjectiveLM`; keeps the objective's logs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objective_logs: dict[str, list[Tensor]] = {}

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        for name, value in outputs["logs"].items():
            self.objective_logs.setdefault(name, []).append(value.detach())
        return (loss, outputs) if return_outputs else loss

    def drain_objective_logs(self) -> dict[str, float]:
        """Mean of each of the objective's logs since the last call (maximum and minimum for `_max` and `_min`)."""
        logs = {}
        for name, values in self.objective_logs.items():
            stacked = torch.stack(values).float()
            reduce = torch.amax if name.endswith("_max") else torch.amin if name.endswith("_min") else torch.nanmean
            logs[name] = reduce(stacked).item()
        self.objective_logs = {}
        return logs


def collate(items: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Blocks -> a batch: `input_ids`, `labels`, `token_scores`, each [batch, seq].

    The first label is no target, since nothing predicts it; saying so lets Trainer count targets exactly.
    """
    ids = torch.from_numpy(np.stack([item["input_ids"] for item in items]))
    labels = ids.clone()
    labels[:, 0] = IGNORE_INDEX
    scores = torch.from_numpy(np.stack([item["token_scores"] for item in items]))
    return {"input_ids": ids, "labels": labels, "token_scores": scores}


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
    """Writes what Trainer logs, and the objective's logs, as `train/...`."""

    def __init__(
        self, metrics: MetricsFile, num_parameters: int, show: Callable[[int, dict[str, float]], None]
    ) -> None:
        self.metrics = metrics
        self.num_parameters = num_parameters
        self.show = show
        self.trainer: ObjectiveTrainer | None = None
        self._last: tuple[int, float] | None = None
        self._paused = 0.0

    def pause(self, seconds: float) -> None:
        """Leave out time that was not spent training."""
        self._paused += seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._last = (state.global_step, time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or logs is None or "loss" not in logs or self.trainer is None:
            return
        step = state.global_step
        numbers: dict[str, float] = {key: logs[key] for key in ("loss", "learning_rate", "grad_norm") if key in logs}
        numbers |= self.trainer.drain_objective_logs()
        numbers["theoretical_loss"] = chinchilla_loss(self.num_parameters, self.metrics.arithmetic.tokens_seen(step))
        now = time.perf_counter()
        if self._last is not None and step > self._last[0]:
            tokens = (step - self._last[0]) * self.metrics.arithmetic.tokens_per_step
            numbers["tokens_per_second"] = tokens / max(now - self._last[1] - self._paused, 1e-9)
        self._last, self._paused = (step, now), 0.0
        self.metrics.append(step, {f"train/{key}": value for key, value in numbers.items()})
        self.show(step, numbers)


class EvaluationCallback(TrainerCallback):
    """Calls `evaluate(step)` at the start, every n steps, at chosen steps and at the end, as a section says.

    The section is `generation`, which samples are drawn and held-out loss is measured by.
    It is called in every process, so that none runs ahead for long.
    """

    def __init__(self, evaluate: Callable[[int], None], config: Any, log: LogCallback) -> None:
        self.evaluate = evaluate
        self.config = config
        self.log = log
        self._done_at: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.config.run_on_train_start and state.global_step == 0:
            self._run(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        is_last = step >= state.max_steps
        if not is_last and (step % self.config.every_n_steps == 0 or step in self.config.force_call_on):
            self._run(step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.config.run_on_train_end:
            self._run(state.global_step)

    def _run(self, step: int) -> None:
        if step == self._done_at:
            return
        start = time.perf_counter()
        self.evaluate(step)
        self._done_at = step
        self.log.pause(time.perf_counter() - start)


class KLCallback(EvaluationCallback):
    """The same for `kl_gpt3_callback`. Trainer warns of two callbacks of one class."""


def chinchilla_loss(num_parameters: int, num_tokens: int) -> float:
    """Predicted loss in nats per token of a model of this size after this many tokens (arXiv 2203.15556, equation 10).

    Fitted on MassiveText with its tokenizer: a curve to compare with, not a target.
    """
    return 1.69 + 406.4 / num_parameters**0.34 + 410.7 / max(num_tokens, 1) ** 0.28
