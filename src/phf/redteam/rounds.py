"""The results of each round, in a file that is complete or absent: a killed search resumes from its finished rounds."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from phf.config.differences import differences
from phf.config.meaning import meaning_of_redteam
from phf.errors import CorpusError, OutputError
from phf.redteam.pool import PoolEntry
from phf.runs.layout import METRICS
from phf.storage.files import is_unused, only_job, write_json_atomic, write_text_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import RoundFile

ROUNDS = "rounds"
DELETED = ".rounds.partial"
"""What `ROUNDS` is called while it is deleted."""
JOB = "job.json"
"""The settings that the search, or replay, of a folder began with."""


@dataclass(frozen=True)
class Round:
    """The new entries of a round, and the number of proposals of the red LM that were left out, by reason."""

    entries: list[PoolEntry]
    rejected: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line; non-ASCII escaped, so that no text can break the file."""
        return json.dumps({"rejected": self.rejected, "entries": [entry.to_json() for entry in self.entries]}) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Round":
        """Raises `CorpusError` for a file that is damaged."""
        advice = "Delete it to repeat the round."
        values = read_json_as(RoundFile, path, CorpusError, advice, finite=True)
        entries = [
            PoolEntry.from_json(entry, f"{path}, entry {number}", advice)
            for number, entry in enumerate(values["entries"])
        ]
        return cls(entries, values["rejected"])


class RoundFiles:
    """The folder `rounds` of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / ROUNDS

    def is_done(self, name: str) -> bool:
        """Whether the round called `name` was finished before."""
        return self._path(name).is_file()

    def done_or(self, name: str, work: Callable[[], Round]) -> Round:
        """The round called `name`: read if it was finished before, otherwise computed and written."""
        if self.is_done(name):
            return Round.read(self._path(name))
        finished = work()
        write_text_atomic(self._path(name), finished.to_json())
        return finished

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def delete(self) -> None:
        """Delete them, when all of them is in the files of results: the last step of a job."""
        aside = self.folder.with_name(DELETED)
        if self.folder.is_dir():
            self.folder.rename(aside)  # some of them would look like an interrupted job
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def claimed(output: Path, job: Mapping[str, Any]) -> Iterator[None]:
    """Make `output` the folder of this job, and lock it while the block runs.

    Raises `OutputError` if it contains the work of another job, or this job's finished work, or is locked.
    """
    _refuse_used(output)
    with only_job(output):
        _claim(output, json.loads(json.dumps(job)))
        shutil.rmtree(output / DELETED, ignore_errors=True)
        for partial in output.rglob(".*.partial"):  # of a job that was killed
            partial.unlink(missing_ok=True)
        yield


def is_finished(output: Path, job: Mapping[str, Any]) -> bool:
    """Whether `output` contains all results of this very job: it may have been killed while it showed them."""
    if not (output / METRICS).exists() or (output / ROUNDS).is_dir() or not (output / JOB).is_file():
        return False
    if _differences(output, json.loads(json.dumps(job))):
        return False
    shutil.rmtree(output / DELETED, ignore_errors=True)
    return True


def _refuse_used(output: Path) -> None:
    """Refuse a folder of others, without leaving even a lock in it.

    A job that was killed after it had written its results, but not deleted its rounds, is finished by the next command.
    """
    if (output / METRICS).exists() and not (output / ROUNDS).is_dir():
        shutil.rmtree(output / DELETED, ignore_errors=True)
        raise OutputError(f"{output} already contains results. Choose another folder with --output.")
    if not (output / JOB).is_file() and not is_unused(output):
        raise OutputError(f"{output} is not empty and was not made by phf redteam. Choose another with --output.")


def _claim(output: Path, job: dict[str, Any]) -> None:
    _refuse_used(output)  # another job may have ended in between
    path = output / JOB
    if not path.is_file():
        write_json_atomic(path, job)
        return
    if what := _differences(output, job):
        raise OutputError(
            f"{output} contains an unfinished job with other settings: {what} (that job's -> this one's). "
            "Choose another folder with --output, or delete that one to start over."
        )


def _differences(output: Path, job: dict[str, Any]) -> str:
    """How the job of a folder differs from this one, as far as it has a meaning; "" if it does not."""
    advice = "Choose another folder with --output, or delete that one."
    of_folder = read_json_as(dict[str, Any], output / JOB, OutputError, advice)
    return differences(_meaning({key: of_folder.get(key) for key in job}), _meaning(job))


def _meaning(job: Any) -> Any:
    """The settings of a job, its section `redteam` reduced to what it means, since an older version may have written it."""
    if not isinstance(job, dict):
        return job
    try:
        return {
            key: meaning_of_redteam(value) if key == "redteam" and isinstance(value, dict) else _meaning(value)
            for key, value in job.items()
        }
    except ValidationError:
        return job  # of a newer version, or damaged: compared unchanged
