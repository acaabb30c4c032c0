"""Reading run folders: everything the report says comes from these files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.errors import CorpusError
from phf.reading import read_json_as, read_json_lines_as, read_text
from phf.shapes import Metrics, Provenance
from phf.shapes import Sample as SampleLine

REPAIR = "Repair or remove it."


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
            str(data["scorer"].get("class_name"))
            for data in self.provenance.get("dataset") or []
            if isinstance(data.get("scorer"), dict)
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
    metrics = []
    for where, line in _lines(Metrics, folder / "metrics.jsonl", notes):
        for key in ("step", "tokens_seen"):
            if line.get(key) is None:
                raise CorpusError(f"{where}: has no '{key}', so no phf wrote it. Remove the line or repair it.")
        metrics.append(line)
    path = folder / "provenance.json"
    provenance = read_json_as(Provenance, path, CorpusError, REPAIR) if path.is_file() else {}
    last_step = max((line["step"] for line in metrics), default=0)
    if last_step < (provenance.get("max_steps") or 0):
        notes.append(f"Unfinished: step {last_step} of {provenance['max_steps']}.")
    samples = {path.stem: _last_samples(path, notes) for path in sorted((folder / "samples").glob("*.jsonl"))}
    config = folder / "config.yaml"
    text = read_text(config, CorpusError, REPAIR) if config.is_file() else ""
    return Run(folder.resolve().name, metrics, samples, text, provenance, notes)


def _last_samples(path: Path, notes: list[str]) -> list[Sample]:
    """Those of the last step that has any."""
    lines = []
    for where, line in _lines(SampleLine, path, notes):
        if len(line["segments"]) != len(line["segment_scores"]):
            counts = f"{len(line['segments'])} segments and {len(line['segment_scores'])} segment_scores"
            raise CorpusError(f"{where}: has {counts}. {REPAIR}")
        lines.append(line)
    newest = max((line["step"] for line in lines), default=None)
    keys = ("prompt", "continuation", "score", "segments", "segment_scores")
    return [Sample(*(line[key] for key in keys)) for line in lines if line["step"] == newest]


def _lines(shape: Any, path: Path, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """JSON Lines; a last line that was cut off by an interruption is left out, with a note."""

    def cut_off() -> None:
        notes.append(f"{path.name} was cut off in its last line.")

    return read_json_lines_as(shape, path, CorpusError, REPAIR, cut_off=cut_off)
