"""The thin adapter over `transformers.Trainer`.

Trainer's loop, with our hooks:

    on_train_begin                      -> evaluate, if configured: samples and held-out loss; KL
    for each step:
        get_batch_samples               -> the meter counts the time until its batches are there
        training_step -> compute_loss   -> the module's loss; what it logs is added up until the next log
        _get_grad_norm                  -> the run ends if loss or gradient norm is not finite; on a GPU at the next look
        on_step_end                     -> evaluate, every n steps
        log, on_log                     -> one line of metrics.jsonl
        _save_checkpoint                -> checkpoint-<step>, whole or absent, unless a weight is not finite
    on_train_end                        -> evaluate, if asked to
"""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.integrations.neftune import activate_neftune, deactivate_neftune

from phf.errors import DivergedError
from phf.feedback.objectives.logs import LogTotals, merged
from phf.storage.saving import os_errors
from phf.training.checkpoints.reading import reading_checkpoint
from phf.training.checkpoints.window import load_window, save_window
from phf.training.checkpoints.write import CheckpointWriter
from phf.training.divergence import LOSS, MAX_SKIPPED_STEPS, WEIGHTS, in_any_process, is_finite_total
from phf.training.guard import MAX_UNREAD_STEPS, UpdateGuard, can_guard
from phf.training.inspection.inspector import Inspector
from phf.training.meter import Meter
from phf.training.random_state import is_saved_for, separate, start_anew
from phf.training.spikes import Spike, Spikes
from phf.workers.interruption import ASKING


class ObjectiveTrainer(Trainer):
    """Trainer whose model is a `phf.models.ObjectiveLM`: it keeps the objective's logs and ends a run that diverges.

    Attributes:
        window: what the objective has logged since the last line.
        complete: called in each process with (step, what Trainer logs); returns what else belongs into the line.
        meter: the clock of this process, whose numbers belong into the line too.
        checkpoints: puts checkpoints in their place.
        begin_step: called in each process with the number of each step, from 1, before its first batch.
        spikes: finds steps with a loss far above that of the steps before.
        spiked: called in each process with the spikes that were found.
        inspector: takes the micro-batches of inspected steps.
        diverged: called in each process with (what is not finite, step, the [batch, 2] `documents` of its batches);
            returns the error to raise.
    """

    complete: Callable[[int, dict[str, float]], dict[str, float]]
    diverged: Callable[[str, int, list[Tensor]], DivergedError]
    begin_step: Callable[[int], None]
    meter: Meter
    checkpoints: CheckpointWriter
    spikes: Spikes
    spiked: Callable[[list[Spike]], None]
    inspector: Inspector

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.window = LogTotals()
        self._documents: list[Tensor] = []
        self._documents_step = -1
        self._num_skipped = 0
        self._guard: UpdateGuard | None = None
        self._is_saving = False
        self._rng_of: str | None = None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, with noise on the embeddings if `neftune_noise_alpha` is set.

        Trainer would ask our module for its embeddings, and accelerate would then shard them separately (FSDP).
        """
        separate(self.args.seed, self.args.process_index)
        self._rng_of = kwargs.get("resume_from_checkpoint")
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

    def set_initial_training_values(self, args: Any, dataloader: DataLoader) -> Any:
        """Called by Trainer for (epochs, steps of each, ...): a run is one epoch, so that none follows on its last step.

        Of a stream Trainer would begin another, where a run is resumed that has made all steps.
        """
        _, *others = super().set_initial_training_values(args, dataloader)
        return (1, *others)

    def get_train_dataloader(self) -> DataLoader:
        loader = super().get_train_dataloader()
        if loader.num_workers:
            loader.worker_init_fn = partial(_begin_worker, loader.worker_init_fn)
        return loader

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        batches = super().get_batch_samples(self.meter.timed(epoch_iterator), num_batches, device)
        # the random state is that of a checkpoint only now: a loader draws a number when it begins
        checkpoint, self._rng_of = self._rng_of, None
        self._load_rng_state(checkpoint)
        return batches

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        # to Trainer an epoch is a pass over the dataset, which begins where the run was resumed
        self.state.epoch = self.state.global_step / self.state.max_steps
        is_long = self._guard is not None and self._guard.num_unread >= MAX_UNREAD_STEPS
        if self.control.should_log or self.control.should_save or is_long:
            self._end_if_guarded()
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inputs = dict(inputs)
        documents = inputs.pop("documents", None)
        segment_starts = inputs.pop("segment_starts", None)
        if self.state.global_step != self._documents_step:
            self._documents, self._documents_step = [], self.state.global_step
            self.begin_step(self.state.global_step + 1)
            if self.spikes.is_full:
                self.spiked(self.spikes.settle())
        if documents is not None:
            self._documents.append(documents)
        if getattr(self.data_collator, "ignores_only_first", False):
            inputs.pop("labels", None)  # counted by now; without them nothing looks for targets
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        self.window.add(outputs["totals"])
        self.spikes.add(self.state.global_step + 1, loss, documents)
        if segment_starts is not None:
            self.inspector.take(inputs, segment_starts, outputs["values"])
        return (loss, outputs) if return_outputs else loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Called by Trainer between the backward pass and the update of the weights."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        is_whole = not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
        if norm is None or self.accelerator.scaler or not is_whole or not can_guard(optimizer, self.args.device):
            self._end_if_not_finite(norm)
            return norm
        if self._guard is None:
            self._guard = UpdateGuard(optimizer, self.args.device, partial(self.accelerator.reduce, reduction="sum"))
        self._guard.check(self.state.global_step + 1, self._tr_loss, norm, self._documents)
        return norm

    def _end_if_guarded(self) -> None:
        """Raises `DivergedError` if an update was kept away from the weights since the last look."""
        bad = None if self._guard is None else self._guard.read()
        if bad is not None:
            # the steps after it have added their losses, computed with the weights before it
            num_steps = self.state.global_step - self._globalstep_last_logged
            loss = torch.nan if bad.is_loss else self._tr_loss.item() / num_steps
            self.state.global_step = bad.step
            self._end(bad.is_loss, {"loss": loss, "grad_norm": bad.norm}, bad.documents)

    def _end_if_not_finite(self, norm: Any) -> None:
        if norm is not None and hasattr(norm, "full_tensor"):
            norm = norm.full_tensor()
        norm = self._tr_loss if norm is None else torch.as_tensor(norm)
        is_bad_loss, is_bad_norm = in_any_process(self.accelerator, [~self._tr_loss.isfinite(), ~norm.isfinite()])
        # fp16's loss scaling overflows occasionally, skips the step, and continues with a smaller scale
        scales = self.accelerator.scaler is not None or (self.is_deepspeed_enabled and self.args.fp16)
        self._num_skipped = self._num_skipped + 1 if is_bad_norm else 0
        if not is_bad_loss and (not is_bad_norm or (scales and self._num_skipped < MAX_SKIPPED_STEPS)):
            return
        self.state.global_step += 1  # the step that is not made
        loss = self._tr_loss.item() / (self.state.global_step - self._globalstep_last_logged)
        why = f" for {MAX_SKIPPED_STEPS} steps in a row, for any loss scale of fp16" if scales else ""
        self._end(is_bad_loss, {"loss": loss, "grad_norm": norm.item()}, self._documents, why)

    def _end(self, is_loss: bool, numbers: dict[str, float], documents: list[Tensor], why: str = "") -> NoReturn:
        """Log the step that is not made, and raise what ends the run."""
        self.log({**numbers, "learning_rate": self._get_learning_rate()})
        what = LOSS if is_loss else f"the norm of the gradient is not finite{why}"
        raise self.diverged(what, self.state.global_step, documents)

    def check_weights(self) -> None:
        """Raises `DivergedError` if a weight is not finite. All processes must call this."""
        assert self.model is not None
        self._end_if_guarded()
        is_finite = is_finite_total(self.model.parameters())
        if in_any_process(self.accelerator, [~is_finite])[0]:
            raise self.diverged(WEIGHTS, self.state.global_step, self._documents)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_weights()
        self._is_saving = True
        try:
            with self.checkpoints.cleaning_up(), os_errors(self.checkpoints.run_dir):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()  # for the files of the others
                self.checkpoints.finish(self.state.global_step)
        finally:
            self._is_saving = False

    def _get_output_dir(self, trial: Any) -> str:
        """Called by Trainer for where it writes a checkpoint, and deletes older ones."""
        return str(self.checkpoints.unfinished) if self._is_saving else super()._get_output_dir(trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with reading_checkpoint(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Called by Trainer with the names of weights that a checkpoint lacks or has beyond those of the model."""
        assert self.model is not None
        missing = set(load_result.missing_keys) - set(getattr(self.model, "_keys_to_ignore_on_save", None) or ())
        if missing or load_result.unexpected_keys:
            named = ", ".join(sorted([*missing, *load_result.unexpected_keys])[:3])
            raise ValueError(f"its weights are not those of this model ({named})")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading_checkpoint(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None and not is_saved_for(Path(checkpoint), self.args.world_size):
            start_anew(self.args.seed, self.state.global_step, self.args.process_index)
            return
        with reading_checkpoint(checkpoint):
            super()._load_rng_state(checkpoint)

    def _load_scaler(self, checkpoint: str | None) -> None:
        with reading_checkpoint(checkpoint):
            super()._load_scaler(checkpoint)

    def _save_rng_state(self, output_dir: str) -> None:
        """Called by Trainer in each process, before the file that marks a checkpoint as complete."""
        super()._save_rng_state(output_dir)
        self.spiked(self.spikes.settle())
        if self.args.process_index == 0:
            self.spikes.save(Path(output_dir))
        save_window(
            Path(output_dir),
            self.args.process_index,
            self.window,
            self._tr_loss.item(),
            self._globalstep_last_logged,
        )
        self.accelerator.wait_for_everyone()

    def resume_window(self, checkpoint: Path) -> None:
        """Restore the sums of a checkpoint; called after Trainer has reset its own."""
        self.spikes.load(checkpoint)
        args = self.args
        saved = load_window(checkpoint, args.process_index, self.accelerator.num_processes, args.device)
        if saved is not None:
            self.window, loss, self._globalstep_last_logged = saved
            self._tr_loss += loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete what Trainer logs of training, in each process, before any callback sees it."""
        if "loss" in logs:
            step = self.state.global_step
            of_all = gather_object([(self.window.pairs(), self.meter.spent(step))])
            logs |= merged(pairs for pairs, _ in of_all)
            logs |= self.complete(step, logs) | self.meter.numbers(step, [spent for _, spent in of_all])
            self.window = LogTotals()
            self.spiked(self.spikes.settle())
        super().log(logs, start_time)
        self.state.log_history.clear()  # metrics.jsonl has it all; this would grow in memory and in each checkpoint


def _begin_worker(begin: Callable[[int], None] | None, worker: int) -> None:
    """In a data-loading worker: a scheduler may signal all processes of a job, but the steps until a checkpoint need it."""
    for signum in ASKING:
        signal.signal(signum, signal.SIG_IGN)
    if begin is not None:
        begin(worker)
