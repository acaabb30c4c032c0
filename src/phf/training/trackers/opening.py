"""Which run of a tracker a run folder belongs to: opened under names of ours, and again when the run is resumed."""

import os
import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from phf.config import Config, run_labels
from phf.errors import OutputError
from phf.runs.layout import TRACKERS
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as

OF_ENVIRONMENT = {
    "project": "WANDB_PROJECT",
    "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "tags": "WANDB_TAGS",
    "dir": "WANDB_DIR",
}
"""Settings of Weights & Biases -> the variables that it reads itself, which take precedence."""
RUN_ID, SWEEP_ID = "WANDB_RUN_ID", "WANDB_SWEEP_ID"
LONGEST_TAG = 64
"""Characters; Weights & Biases refuses longer ones."""
TENSORBOARD = "tensorboard"
"""Folder in a run folder."""


@contextmanager
def open_runs(
    callbacks: Sequence[Any],
    arguments: Any,
    config: Config,
    run_dir: Path,
    step: int | None,
    announce: Callable[[str], None],
) -> Iterator[None]:
    """Open the runs of the trackers before Trainer's callbacks would, and close them, however training ends.

    Their names are kept in `trackers.json` in the run folder, so that a resumed run continues them.

    Args:
        arguments: `TrainingArguments`, from which the callbacks take the name of a run.
        step: the one that training is resumed from, later ones of which are dropped where the tracker can do it; None: it
            begins.
    """
    names = _read(run_dir)
    before = dict(names)
    with ExitStack() as opened:
        for callback in callbacks:
            if getattr(callback, "_wandb", None) is not None and callback._wandb.run is None:
                names["wandb"] = _open_wandb(callback._wandb, names.get("wandb"), arguments, config, run_dir, announce)
                opened.push(lambda kind, *_, library=callback._wandb: library.finish(exit_code=int(kind is not None)))
            if hasattr(callback, "_trackio"):
                # it continues any run of this name, so that a new run needs a name of its own
                names.setdefault("trackio", f"{run_dir.name}-{secrets.token_hex(3)}")
                arguments.run_name = names["trackio"]
                opened.push(lambda kind, *_, library=callback._trackio: library.finish() if kind is not None else None)
            if hasattr(callback, "tb_writer") and callback.tb_writer is None:
                folder = callback.logging_dir or _tensorboard_folder(run_dir)
                first = None if step is None else step + 1
                callback.tb_writer = callback._SummaryWriter(log_dir=str(folder), purge_step=first)
        if names != before:
            write_json_atomic(run_dir / TRACKERS, names)
        yield


def _read(run_dir: Path) -> dict[str, str]:
    path = run_dir / TRACKERS
    advice = "Delete it: the trackers begin a new run."
    return read_json_as(dict[str, str], path, OutputError, advice) if path.is_file() else {}


def _open_wandb(
    library: Any, run_id: str | None, arguments: Any, config: Config, run_dir: Path, announce: Callable[[str], None]
) -> str:
    """Begin or continue a run of Weights & Biases; returns its id. Where that is not possible, the run is logged offline."""
    labels = run_labels(config)
    settings: dict[str, Any] = {
        "project": arguments.project,
        "name": run_dir.name,
        "group": config.training.tracker_group or "-".join(labels) or None,
        "tags": config.training.tracker_tags or [label[:LONGEST_TAG] for label in labels],
        "dir": str(run_dir),
    }
    given = {key: value for key, value in settings.items() if not os.environ.get(OF_ENVIRONMENT[key])}
    given |= {"id": os.environ.get(RUN_ID) or run_id, "resume": "allow"}
    if os.environ.get(SWEEP_ID):  # which says both itself
        del given["id"]
        given.pop("project", None)
    try:
        run = library.init(**given)
    except library.errors.Error as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        announce(
            f"training.report_to: wandb cannot be used online ({reason}): this run is logged offline. "
            f"Upload it later: wandb sync {shlex.quote(str(run_dir / 'wandb'))}/offline-run-*"
        )
        run = library.init(**given, mode="offline")
    return str(run.id)


def _tensorboard_folder(run_dir: Path) -> Path:
    """Where the run's events are; an earlier version has left them to Trainer, which makes a folder for each start."""
    earlier = sorted(run_dir.glob("runs/*/events.out.tfevents.*"))
    return earlier[-1].parent if earlier else run_dir / TENSORBOARD
