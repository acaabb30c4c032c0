"""Reading run folders: everything the report says comes from these files."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.errors import CorpusError


@dataclass(frozen=True)
class Sample:
    """One generated text with the scores of its segments (None where unscored)."""

    prompt: str
    continuation: str
    score: float | None
    segments: list[str]
    segment_scores: list[float | None]


@dataclass(frozen=True)
class Run:
    """One run folder."""

    name: str
    metrics: list[dict[str, Any]]
    """The lines of metrics.jsonl, in order."""
    samples: dict[str, list[Sample]]
    """scenario -> samples of the last step they were drawn at"""
    config: str
    provenance: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    """What the reader should know: unfinished, cut off."""

    @property
    def method(self) -> str:
        return str(self.provenance.get("method") or self.name)

    def series(self, key: str) -> list[tuple[float, float]]:
        """(tokens_seen, value) of each line that has a finite `key`."""
        return [
            (line["tokens_seen"], line[key])
            for line in self.metrics
            if isinstance(line.get(key), int | float) and math.isfinite(line[key])
        ]

    def last(self, key: str) -> float | None:
        """The last value of `key`; None without one."""
        series = self.series(key)
        return series[-1][1] if series else None

    def last_values(self, start: str) -> dict[str, float]:
        """The last finite value of each key that begins with `start`, in order of appearance."""
        keys = dict.fromkeys(key for line in self.metrics for key in line if key.startswith(start))
        found = {key: self.last(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def training_scorers(self) -> set[str] | None:
        """Classes of the scorers of the training data; None where the run does not say."""
        found = {
            data["scorer"].get("class_name")
            for data in self.provenance.get("dataset") or []
            if isinstance(data, dict) and isinstance(data.get("scorer"), dict)
        }
        return found or None

    @property
    def threshold(self) -> float:
        """Segments with a higher score are misaligned; 0 where the run does not say."""
        return float(self.provenance.get("threshold") or 0.0)

    @property
    def scenarios(self) -> list[str]:
        """Names of the generation scenarios, in order of appearance."""
        names = [key.split("/")[1] for line in self.metrics for key in line if key.startswith("generation/")]
        return list(dict.fromkeys(names))


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read run folders. Raises `CorpusError` for a folder that is none, or a damaged file."""
    return [read_run(folder) for folder in folders]


def read_run(folder: Path) -> Run:
    """Read one run folder."""
    if not (folder / "metrics.jsonl").is_file():
        raise CorpusError(
            f"{folder} is no run folder: it has no metrics.jsonl. Name a folder that phf train or phf evaluate wrote."
        )
    notes: list[str] = []
    metrics = _read_lines(folder / "metrics.jsonl", ("step", "tokens_seen"), notes)
    provenance = _read_json(folder / "provenance.json")
    config = folder / "config.yaml"
    last_step = max((line["step"] for line in metrics), default=0)
    if last_step < provenance.get("max_steps", 0):
        notes.append(f"Unfinished: step {last_step} of {provenance['max_steps']}.")
    samples = {}
    keys = ("prompt", "continuation", "score", "segments", "segment_scores")
    for path in sorted((folder / "samples").glob("*.jsonl")):
        lines = _read_lines(path, ("step", *keys), notes)
        newest = max((line["step"] for line in lines), default=None)
        samples[path.stem] = [Sample(*(line[key] for key in keys)) for line in lines if line["step"] == newest]
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    return Run(folder.resolve().name, metrics, samples, text, provenance, notes)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return _parse(path.read_bytes(), str(path))


def _read_lines(path: Path, keys: Sequence[str], notes: list[str]) -> list[dict[str, Any]]:
    """JSON Lines with `keys` in each; a last line that was cut off by an interruption is left out, with a note."""
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        notes.append(f"{path.name} was cut off in its last line.")
        lines.pop()
    found = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        values = _parse(line, where)
        missing = [key for key in keys if key not in values]
        if missing:
            raise CorpusError(f"{where}: has no '{missing[0]}', so no phf wrote it. Remove the line or repair it.")
        found.append(values)
    return found


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except ValueError as error:  # broken JSON or UTF-8
        raise CorpusError(f"{where}: is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise CorpusError(f"{where}: is a JSON {type(values).__name__}; an object was expected.")
    return values
