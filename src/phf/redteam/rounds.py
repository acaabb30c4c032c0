"""What one round left, in a file that is whole or absent: a search that was killed goes on from its finished rounds."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.data.files import write_json_atomic, write_text_atomic
from phf.errors import CorpusError, OutputError
from phf.redteam.pool import PoolEntry


@dataclass(frozen=True)
class Round:
    """The new entries of a round, and why proposals of the red LM were left out: reason -> how many."""

    entries: list[PoolEntry]
    rejected: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line; non-ASCII escaped, so that no text can break the file."""
        return json.dumps({"rejected": self.rejected, "entries": [entry.to_json() for entry in self.entries]}) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Round":
        """Raises `CorpusError` for a file that is damaged."""
        try:
            values = json.loads(path.read_bytes())
            entries = [PoolEntry.from_json(entry, str(path)) for entry in values["entries"]]
            return cls(entries, dict(values["rejected"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path}: is damaged ({error}). Delete it: the round is done again.") from error


class RoundFiles:
    """The folder `rounds` of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "rounds"

    def done_or(self, name: str, work: Callable[[], Round]) -> Round:
        """The round called `name`: read, if it was finished before, or else worked out and written."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            return Round.read(path)
        found = work()
        write_text_atomic(path, found.to_json())
        return found


def claim(output: Path, job: Mapping[str, Any]) -> None:
    """Make `output` the folder of this job. Raises `OutputError` if it holds another's work, or this job's finished."""
    if (output / "metrics.jsonl").exists():
        raise OutputError(f"{output} holds results already. Name another folder with --output.")
    for partial in output.rglob(".*.partial"):  # of a job that was killed
        partial.unlink(missing_ok=True)
    path, wanted = output / "job.json", json.loads(json.dumps(job))
    if not path.is_file():
        if output.is_dir() and any(output.iterdir()):
            raise OutputError(f"{output} is not empty and was not made by phf redteam. Name another with --output.")
        write_json_atomic(path, wanted)
        return
    found = json.loads(path.read_bytes())
    for key, value in wanted.items():
        if found.get(key) != value:
            raise OutputError(
                f"{output} holds an unfinished job with another {key}: {_difference(found.get(key), value)}. "
                "Name another folder with --output, or delete that one to start over."
            )


def _difference(before: Any, now: Any) -> str:
    """Where two values differ first, in few words."""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in {**before, **now} if before.get(key) != now.get(key))
        return f"{key}: {_difference(before.get(key), now.get(key))}"
    return f"it is {_short(before)}, this one's is {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
