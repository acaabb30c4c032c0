"""Writing checkpoints: in a separate folder, from which each is moved to its place when it is finished.

So `checkpoint-<step>` is whole or absent, whatever ends the run: a signal, a full disk, a killed process.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phf.runs.layout import CONFIG
from phf.storage.file_list import write_file_list
from phf.storage.files import apply_umask, sync_file, write_text_atomic
from phf.training.checkpoints.find import checkpoints, step_of

UNFINISHED = "unfinished"
"""Folder in a run folder, in which a checkpoint is written."""


class CheckpointWriter:
    """Finishes the checkpoints of one run; all processes have one, and that of the main process does the work.

    Args:
        run_dir: the run folder.
        configuration: the resolved configuration as YAML, which each checkpoint keeps, so that one of another run is
            recognised.
        limit: number of finished checkpoints that are kept; None: all.
        is_main: whether this process moves and deletes folders.
    """

    def __init__(self, run_dir: Path, configuration: str, limit: int | None, is_main: bool) -> None:
        self.run_dir = run_dir
        self.configuration = configuration
        self.limit = limit
        self.is_main = is_main
        self.unfinished = run_dir / UNFINISHED

    @contextmanager
    def cleaning_up(self) -> Iterator[None]:
        """Remove what the block leaves unfinished, or has set aside, however it ends: it takes up space and is of no use."""
        try:
            yield
        finally:
            if self.is_main:
                clear_unfinished(self.run_dir)

    def finish(self, step: int) -> None:
        """List the files of the checkpoint of `step`, which all processes have written, and move it to its place.

        Then older ones beyond `limit` are set aside, for `cleaning_up` to delete. Raises `OSError` or `OutputError` if the run
        folder cannot be written.
        """
        if not self.is_main:
            return
        name = f"checkpoint-{step}"
        written, place = self.unfinished / name, self.run_dir / name
        write_text_atomic(written / CONFIG, self.configuration, sync=False)
        apply_umask(written)
        write_file_list(written)
        if place.exists():  # of a run that was resumed from an earlier one
            place.rename(self.unfinished / f"replaced-{step}")
        written.rename(place)
        self._set_oldest_aside(place)

    def _set_oldest_aside(self, newest: Path) -> None:
        """Move the oldest checkpoints to where they are deleted: at no time is one of them half there."""
        # those of later steps were left by a run that resumed from an earlier checkpoint: they are not of this run's past
        past = [path for path in checkpoints(self.run_dir) if step_of(path) <= step_of(newest)]
        superfluous = [] if self.limit is None else past[self.limit :]
        if superfluous:  # a machine that loses power now must still have one
            for path in filter(Path.is_file, newest.rglob("*")):
                sync_file(path)
        for path in superfluous:
            path.rename(self.unfinished / path.name)


def clear_unfinished(run_dir: Path) -> None:
    """Remove what an interrupted checkpoint left."""
    if os.path.lexists(run_dir / UNFINISHED):
        shutil.rmtree(run_dir / UNFINISHED, ignore_errors=True)
