"""Where a run starts: in a new folder, or from the last whole checkpoint of one that was interrupted."""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import transformers

from phf.config import Config
from phf.errors import CorpusError, OutputError
from phf.runs.folder import clear_failed_start, has_steps, is_started, refuse_other_configuration
from phf.runs.writer import RunWriter
from phf.storage.reading import read_json_as
from phf.storage.shapes import TrainerState

CHECKPOINT_PARTS = (
    ("trainer_state.json",),
    ("model.safetensors", "pytorch_model_fsdp*"),
    ("optimizer.*", "optimizer_*", "global_step*"),
    ("scheduler.pt", "global_step*"),
)
"""Files that a checkpoint needs for resuming, each in one of these forms: plain, FSDP or DeepSpeed."""


def refuse_started(run_dir: Path, resume: bool) -> bool:
    """Whether the folder contains steps of a run; an error if it does and is not to be resumed."""
    has_run = is_started(run_dir) and has_steps(run_dir)
    if has_run and not resume:
        raise OutputError(
            f"{run_dir} holds a run already. Continue it with --resume, choose another name with --run-name, or delete "
            "the folder."
        )
    return has_run


def open_run_dir(config: Config, run_dir: Path, resume: bool, announce: Callable[[str], None]) -> Path | None:
    """Make the run folder, or find the checkpoint to resume from."""
    if is_started(run_dir) and not refuse_started(run_dir, resume):
        clear_failed_start(run_dir)
        announce(f"The run in {run_dir} ended before its first step: starting from the beginning")
    checkpoint = None
    if is_started(run_dir):
        refuse_other_configuration(run_dir, config)
        checkpoint = last_checkpoint(run_dir)
        step = 0 if checkpoint is None else step_of(checkpoint)
        announce(
            f"Resuming {run_dir} from step {step}"
            if checkpoint
            else f"No complete checkpoint in {run_dir}: starting from the beginning"
        )
        # without a checkpoint even the lines of step 0 are written again
        RunWriter(run_dir).cut_after(step if checkpoint is not None else -1)
    else:
        RunWriter(run_dir).write_config(config)
    return checkpoint


def last_checkpoint(run_dir: Path, before: float = math.inf) -> Path | None:
    """The newest checkpoint, of a step below `before`, that is complete; its state file is the last thing that
    Trainer writes."""
    checkpoints = sorted(
        (path for path in run_dir.glob("checkpoint-*") if 0 <= step_of(path) < before), key=step_of, reverse=True
    )
    for path in checkpoints:
        if all(any(any(path.glob(form)) for form in forms) for forms in CHECKPOINT_PARTS):
            try:
                state = read_json_as(TrainerState, path / "trainer_state.json", CorpusError)
            except CorpusError:
                continue
            if set(state) <= {field.name for field in fields(transformers.TrainerState)}:
                return path
    return None


def step_of(checkpoint: Path) -> int:
    """The number in the name of a checkpoint folder; -1 for what is not one."""
    match = re.fullmatch(r"checkpoint-(\d{1,15})", checkpoint.name)
    return int(match[1]) if match is not None and checkpoint.is_dir() else -1
