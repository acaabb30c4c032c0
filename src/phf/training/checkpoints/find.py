"""Which checkpoint of a run folder a run continues from: the newest one whose files are as they were written."""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import transformers

from phf.config import Config
from phf.config.meaning import configuration_differences
from phf.errors import CheckpointError, ConfigError, CorpusError
from phf.runs.layout import CONFIG
from phf.storage.file_list import FILE_LIST, damaged_files, unlisted_files
from phf.storage.reading import read_json_as
from phf.storage.shapes import TrainerState
from phf.text import counted
from phf.training.checkpoints.unlisted import unreadable_files
from phf.training.checkpoints.window import FILE as WINDOW
from phf.training.checkpoints.window import promises_list

STATE = "trainer_state.json"
PARTS = (
    (STATE,),
    ("model.safetensors", "pytorch_model_fsdp*"),
    ("optimizer.*", "optimizer_*", "global_step*"),
    ("scheduler.pt", "global_step*"),
)
"""Files that a checkpoint needs for resuming, each in one of these forms: plain, FSDP or DeepSpeed."""


READ = (".safetensors", ".bin", ".pt", ".pth", ".json", ".distcp")
"""Ends of the names of the files that resuming may read. Folders are of FSDP or DeepSpeed."""


def last_checkpoint(run_dir: Path, before: float = math.inf) -> Path | None:
    """The newest checkpoint, of a step below `before`, that was written to its end. Its content is not verified."""
    return next((path for path in checkpoints(run_dir) if step_of(path) < before and _is_finished(path)), None)


def sound_checkpoint(run_dir: Path, announce: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are what was written; None if none was ever finished.

    What is wrong with newer ones is announced, and where a checkpoint cannot be verified, since an earlier version wrote it
    without a list of its files. Raises `CheckpointError` if all that were finished are damaged.
    """
    damaged: list[str] = []
    for path in checkpoints(run_dir):
        is_listed = (path / FILE_LIST).is_file()
        if not is_listed and not _is_finished(path):
            announce(f"{path} was not written completely and is skipped")
            continue
        problems = _problems(path)
        if problems:
            damaged.append(f"{path} is damaged: {'; '.join(problems)}.")
            announce(f"{damaged[-1]} The checkpoint before it is used instead, if there is one")
            continue
        if not is_listed:
            announce(
                f"{path} has no list of its files ({FILE_LIST}), as earlier versions wrote it: it cannot be verified"
            )
        return path
    if damaged:
        raise CheckpointError(
            f"{' '.join(damaged)} No other checkpoint is left to resume from. Restore one from a copy, or delete "
            f"{run_dir} to start from the beginning."
        )
    return None


def refuse_checkpoint_of_another_run(checkpoint: Path, config: Config) -> None:
    """Raises `CheckpointError`, with the keys that differ, unless a configuration that means the same wrote the checkpoint.

    Those of earlier versions do not say.
    """
    path = checkpoint / CONFIG
    if not path.is_file():
        return
    try:
        differing = configuration_differences(path, config)
    except ConfigError as error:
        raise CheckpointError(f"{error} So it is not known whether {checkpoint} belongs to this run.") from error
    if differing:
        raise CheckpointError(
            f"{checkpoint} was written with another configuration, so it belongs to another run. They differ in: {differing} "
            "(the checkpoint's -> this run's). Delete that checkpoint to resume from the one before it."
        )


def refuse_another_number_of_processes(checkpoint: Path, num_processes: int) -> None:
    """Raises `CheckpointError` for a checkpoint that DeepSpeed wrote in another number of processes."""
    num_writers = len(list(checkpoint.glob(WINDOW.format("*"))))
    if any(checkpoint.glob("global_step*")) and num_writers != num_processes:
        raise CheckpointError(
            f"{checkpoint} was written by DeepSpeed in {counted(num_writers, 'process', 'processes')}, and only as many "
            f"can continue it; this command has {num_processes}. Start {num_writers}, or train with training.fsdp, "
            "whose checkpoints any number of processes can continue."
        )


def step_of(checkpoint: Path) -> int:
    """The number in the name of a checkpoint folder; -1 for what is not one."""
    match = re.fullmatch(r"checkpoint-(\d{1,15})", checkpoint.name)
    return int(match[1]) if match is not None and checkpoint.is_dir() else -1


def checkpoints(run_dir: Path) -> list[Path]:
    """All checkpoint folders of a run, the newest first, finished or not."""
    folders = (path for path in run_dir.glob("checkpoint-*") if step_of(path) >= 0)
    return sorted(folders, key=step_of, reverse=True)


def _is_finished(path: Path) -> bool:
    """Whether all parts are there, and the last thing that Trainer writes is whole and of a version that can be read."""
    if not all(any(any(path.glob(form)) for form in forms) for forms in PARTS):
        return False
    try:
        state = read_json_as(TrainerState, path / STATE, CorpusError)
    except CorpusError:
        return False
    return set(state) <= {field.name for field in fields(transformers.TrainerState)}


def _added(path: Path) -> list[str]:
    """Files that resuming might read, but that were not written with the checkpoint: a phrase for each."""
    names = [name for name in unlisted_files(path) if not name.startswith(".")]
    added = [name for name in names if name.endswith(READ) or (path / name).is_dir()]
    return [f"{name} was added to it, or is missing in {FILE_LIST}" for name in added]


def _problems(path: Path) -> list[str]:
    if (path / FILE_LIST).is_file():
        problems = damaged_files(path) or _added(path)
    elif promises_list(path):
        problems = [f"{FILE_LIST}, the list of its files, is missing"]
    else:
        problems = unreadable_files(path)
    if not problems and not _is_finished(path):
        problems = ["files that resuming needs are missing, or were written by another version of transformers"]
    if not problems and (step := read_json_as(TrainerState, path / STATE, CorpusError)["global_step"]) != step_of(path):
        problems = [f"{STATE} is of step {step:,}"]
    return problems
