"""Uploading models while training goes on: one after another, in a thread that never holds up or ends a run."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue

from huggingface_hub.utils import disable_progress_bars

from phf.errors import PhfError
from phf.models.exporting.upload import ModelRepository


class Uploads:
    """Models that are uploaded in the background.

    Args:
        repository: where to.
        announce: called, from `report` and `finish`, with what could not be uploaded.
    """

    def __init__(self, repository: ModelRepository, announce: Callable[[str], None]) -> None:
        self.repository = repository
        self._announce = announce
        self._queue: Queue[tuple[Path, str, str | None, bool] | None] = Queue()
        self._failures: Queue[str] = Queue()
        self._is_last_uploaded = False
        # a daemon: a process that was asked to stop does not wait for an upload
        disable_progress_bars()
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def add(self, folder: Path, message: str, tag: str | None, *, is_temporary: bool) -> None:
        """Upload a folder when those before it are done, and then delete it if it is temporary."""
        self.report()
        self._queue.put((folder, message, tag, is_temporary))

    @property
    def is_busy(self) -> bool:
        """Whether anything is waiting for its turn."""
        return not self._queue.empty()

    def report(self) -> None:
        """Announce what has failed since the last time."""
        while not self._failures.empty():
            self._announce(self._failures.get())

    def finish(self) -> bool:
        """Wait for the rest; returns whether the last folder was uploaded."""
        self._queue.put(None)
        self._thread.join()
        self.report()
        return self._is_last_uploaded

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            folder, message, tag, is_temporary = item
            self._is_last_uploaded = False
            try:
                self.repository.push(folder, message, tag)
                self._is_last_uploaded = True
            except (PhfError, OSError, RuntimeError, ValueError) as error:
                self._failures.put(f"{tag or folder.name} was not uploaded: {error}")
            finally:
                if is_temporary:
                    shutil.rmtree(folder, ignore_errors=True)
