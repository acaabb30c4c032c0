"""Where a run starts: in a new folder, or from the last sound checkpoint of one that was interrupted."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from phf.config import Config
from phf.errors import ConfigError, OutputError
from phf.runs.data import describe_data, is_same_data
from phf.runs.folder import (
    clear_failed_start,
    has_steps,
    is_started,
    refuse_folder_of_others,
    refuse_other_configuration,
    refuse_other_kinds,
)
from phf.runs.layout import METRICS
from phf.runs.reader import read_provenance
from phf.runs.writer import RunWriter
from phf.sampling.division import all_processes
from phf.text import counted, visible_text
from phf.training.checkpoints.find import (
    refuse_another_number_of_processes,
    refuse_checkpoint_of_another_run,
    sound_checkpoint,
    step_of,
)
from phf.training.checkpoints.write import clear_unfinished
from phf.training.settings.arguments import Arithmetic
from phf.training.sources import describe_sources


def refuse_unknown(run_dir: Path) -> None:
    """Raises `OutputError`, with the nearest names of runs next to it, unless a run has begun in the folder."""
    if is_started(run_dir):
        return
    runs = {path.name: path for path in run_dir.parent.glob("*") if is_started(path)}
    near = get_close_matches(run_dir.name, runs, n=3) or sorted(runs, key=lambda name: runs[name].stat().st_mtime)[-3:]
    known = f"Runs there: {', '.join(visible_text(name) for name in near)}." if near else "There are no runs there."
    raise OutputError(
        f"--resume: there is no run called '{run_dir.name}' in {run_dir.parent}. {known} Choose one with --run-name (and "
        "--output-dir), or leave --resume out to begin a run."
    )


def refuse_started(run_dir: Path, resume: bool) -> bool:
    """Whether the folder contains steps of a run; an error if it does and is not to be resumed, or is of another command."""
    if not is_started(run_dir):
        refuse_folder_of_others(run_dir)
    refuse_other_kinds(run_dir)
    has_run = is_started(run_dir) and has_steps(run_dir)
    if has_run and not resume:
        raise OutputError(
            f"{run_dir} holds a run already. Continue it with --resume, choose another name with --run-name, or delete "
            "the folder."
        )
    return has_run


def refuse_other_batch(run_dir: Path, arithmetic: Arithmetic) -> None:
    """Raises `ConfigError` if the run in the folder has made steps of another size.

    That happens where `training.effective_batch_size` is not set, so that it follows from the number of processes.
    """
    before = (
        read_provenance(run_dir).get("effective_batch_size") if is_started(run_dir) and has_steps(run_dir) else None
    )
    if before is not None and before != arithmetic.effective_batch_size:
        raise ConfigError(
            f"The run in {run_dir} makes steps of {counted(before, 'block')}; with {arithmetic.world_size} x "
            f"{arithmetic.per_device_train_batch_size} (processes x blocks of each) this command would make steps of "
            f"{arithmetic.effective_batch_size}. "
            "Start as many processes as before. (A run that sets training.effective_batch_size may be continued by another "
            "number.)"
        )


def refuse_other_data(run_dir: Path, sources: Sequence[str]) -> None:
    """Raises `OutputError` if a run to be resumed was begun on other data than the annotated `sources`."""
    before, now = read_provenance(run_dir).get("dataset"), describe_sources(sources)
    if before is not None and not is_same_data(before, now):
        raise OutputError(
            f"The training data has changed since the run in {run_dir} began, so resuming would mix two runs: it was "
            f"{describe_data(before)}, and is {describe_data(now)} now. Restore the data, choose another --run-name, or "
            "delete the folder to train on the data of today."
        )


def open_run_dir(config: Config, run_dir: Path, resume: bool, announce: Callable[[str], None]) -> Path | None:
    """Make the run folder, or find the checkpoint to resume from.

    Raises `CheckpointError` where every checkpoint is damaged, or the one to resume from belongs to another run.
    """
    has_steps_of_run = refuse_started(run_dir, resume)
    if is_started(run_dir) and not has_steps_of_run:
        clear_failed_start(run_dir)
        announce(f"The run in {run_dir} ended before its first step: starting from the beginning")
    checkpoint = None
    if is_started(run_dir):
        refuse_other_configuration(run_dir, config)
        clear_unfinished(run_dir)
        checkpoint = sound_checkpoint(run_dir, announce)
        if checkpoint is not None:
            refuse_checkpoint_of_another_run(checkpoint, config)
            refuse_another_number_of_processes(checkpoint, all_processes().count)
        step = 0 if checkpoint is None else step_of(checkpoint)
        announce(
            f"Resuming {run_dir} from step {step}"
            if checkpoint
            else f"No complete checkpoint in {run_dir}: starting from the beginning"
        )
        # without a checkpoint even the lines of step 0 are written again
        damaged = RunWriter(run_dir).cut_after(step if checkpoint is not None else -1)
        for path, number in damaged.items() if checkpoint else ():
            announce(f"{path}: {number:,} damaged line{'s are' if number > 1 else ' is'} left out")
        if checkpoint and not (run_dir / METRICS).is_file():
            announce(f"{run_dir / METRICS} is missing: the log begins after step {step:,}")
    else:
        RunWriter(run_dir).write_config(config)
    return checkpoint
