"""Reading run folders: everything in the report comes from these files."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from phf.config import method_label
from phf.errors import CorpusError, PhfError
from phf.runs.layout import CONFIG, METRICS, PROVENANCE, SAMPLES, samples_file
from phf.runs.lost import lost_samples
from phf.runs.seeds import Training
from phf.runs.writer import start_of_line
from phf.storage.hashing import hash64
from phf.storage.reading import parse_json, read_json_as, read_json_lines_as, read_text, typed
from phf.storage.shapes import Metrics, Provenance
from phf.storage.shapes import Sample as SampleLine
from phf.text import counted

REPAIR = "Repair or remove it."
SKIPPED = "Skipped: "


@dataclass(frozen=True)
class Sample:
    """One generated text with the scores of its segments (None if unscored)."""

    prompt: str
    continuation: str
    score: float | None
    segments: list[str]
    segment_scores: list[float | None]
    segment_spans: list[list[tuple[int, int, str]]] = field(default_factory=list)
    """Detections of the scorer in each segment; empty if not requested."""


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
    """Notes for the reader: unfinished, truncated."""
    lost_samples: str | None = None
    """How the samples differ from those that its numbers were computed from; None if they do not."""

    @property
    def method(self) -> str:
        """The method it was trained with, without the path of its file; for an evaluated model, its name."""
        return method_label(str(self.provenance.get("method") or self.name))

    @property
    def kind(self) -> str:
        """`search` or `replay` of a red team; `model` for whatever trains or evaluates one."""
        keys = {key.partition("/")[0] for line in self.metrics for key in line}
        return "search" if "redteam" in keys else "replay" if "replay" in keys else "model"

    @cached_property
    def training(self) -> Training | None:
        """What the model was trained with, where the run says so."""
        if "model" in self.provenance:  # phf evaluate, of a model that some run exported
            recorded = Training.from_json(self.provenance.get("training"))
            # seeds are comparable where they were evaluated alike
            return recorded and replace(recorded, settings=f"{recorded.settings} {hash64('evaluation', self.config):x}")
        return Training.of_config(self.config) or _training_of(self.provenance)

    @cached_property
    def divergence(self) -> str | None:
        """Where training met a number that is not finite; None if it did not. Such a run has no result."""
        for line in reversed(self.metrics):
            if "train/loss" in line or "train/lm_loss" in line:
                for key in ("train/loss", "train/lm_loss", "train/grad_norm"):
                    if line.get(key, 0.0) is None:
                        return f"diverged: {key} is not a finite number at step {line['step']:g}"
                break
        return None

    @property
    def problem(self) -> str | None:
        """Why the model must not be compared with others; None if it is sound."""
        if self.divergence is not None:
            return self.divergence
        for key in ("eval/loss", "eval/bits_per_byte"):
            if any(key in line for line in self.metrics) and self.last(key) is None:
                return f"gives no usable numbers: {key} of its last evaluation is not a finite number"
        return self.lost_samples

    def series(self, key: str) -> list[tuple[float, float]]:
        """(tokens_seen, value) of each line that has a finite `key`."""
        return [
            (line["tokens_seen"], line[key])
            for line in self.metrics
            if isinstance(line.get(key), int | float) and math.isfinite(line[key])
        ]

    def last(self, key: str) -> float | None:
        """The value of `key` where it was measured last; None without one, or where that is not a finite number.

        A run that diverged has none but those of training: what was measured before is not of the model it led to.
        """
        if self.divergence is not None and not key.startswith("train/"):
            return None
        latest = next((line[key] for line in reversed(self.metrics) if key in line), None)
        return latest if isinstance(latest, int | float) and math.isfinite(latest) else None

    def last_values(self, start: str) -> dict[str, float]:
        """The last value of each key that begins with `start`, in order of appearance; those that are null left out."""
        keys = dict.fromkeys(key for line in self.metrics for key in line if key.startswith(start))
        values = {key: self.last(key) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def training_scorers(self) -> set[str] | None:
        """Classes of the scorers of the training data; None where the run does not say."""
        names = {
            str(data["scorer"].get("class_name"))
            for data in self.provenance.get("dataset") or []
            if isinstance(data.get("scorer"), dict)
        }
        return names or None

    @property
    def precision(self) -> str | None:
        """What it was trained in, such as "bfloat16"; None where the run does not say."""
        precision = (self.provenance.get("choices") or {}).get("precision")
        return precision if isinstance(precision, str) else None

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
    """Read run folders. Raises `CorpusError` for a folder that is not one, or a damaged file."""
    return [read_run(folder) for folder in folders]


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs in these folders, each once, and one notice for each path that holds none that can be read.

    A folder of runs (what `phf evaluate` writes of several models, or `phf quickstart`) stands for those in it.
    Raises `CorpusError` where there is not a single run.
    """
    runs: list[Run] = []
    notices: list[str] = []
    seen: set[Path] = set()
    for path in paths:
        try:
            folders = [path] if (path / METRICS).is_file() else sorted(f.parent for f in path.glob(f"*/{METRICS}"))
            if not folders:
                read_run(path)  # says what is wrong with it
        except (OSError, PhfError) as error:
            notices.append(_skipped(path, error))
            continue
        for folder in folders:
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            try:
                run = read_run(folder)
                runs.append(run if folder is path else replace(run, name=f"{path.resolve().name}/{run.name}"))
            except (OSError, PhfError) as error:
                notices.append(_skipped(folder, error))
    if not runs:
        raise CorpusError(notices[0].removeprefix(SKIPPED) if notices else "No folder was given.")
    return runs, notices


def _skipped(path: Path, error: Exception) -> str:
    reason = (
        str(error) if isinstance(error, PhfError) else f"{path} cannot be read: {getattr(error, 'strerror', error)}."
    )
    return SKIPPED + reason


def _training_of(provenance: Mapping[str, Any]) -> Training | None:
    """From the provenance of a run whose config.yaml is not there."""
    seeds = provenance.get("seeds")
    seed = seeds.get("training") if isinstance(seeds, dict) else None
    method, task = provenance.get("method"), provenance.get("task")
    if not isinstance(seed, int) or method is None or task is None:
        return None
    same = [method, task, *(provenance.get(key) for key in ("max_steps", "effective_batch_size", "num_parameters"))]
    return Training(method, task, seed, json.dumps(same, default=str))


def read_run(folder: Path) -> Run:
    """Read one run folder."""
    if not (folder / METRICS).is_file():
        what = "it has no metrics.jsonl" if os.path.lexists(folder) else "nothing has that name"
        raise CorpusError(f"{folder} is not a run folder: {what}. Give a folder that phf train or phf evaluate wrote.")
    notes: list[str] = []
    metrics = []
    for where, line in _lines(Metrics, folder / METRICS, notes):
        for key in ("step", "tokens_seen"):
            if line.get(key) is None:
                raise CorpusError(
                    f"{where}: has no '{key}', so it was not written by phf. Remove the line or repair it."
                )
        metrics.append(line)
    provenance = read_provenance(folder)
    last_step = max((line["step"] for line in metrics), default=0)
    if last_step < (provenance.get("max_steps") or 0):
        notes.append(f"Unfinished: step {last_step} of {provenance['max_steps']}.")
    samples, lost = {}, []
    for path in sorted((folder / SAMPLES).glob("*.jsonl")):
        step, samples[path.stem] = _last_samples(path, notes)
        scores = [sample.score for sample in samples[path.stem]]
        lost.append(lost_samples(metrics, path.stem, step, scores))
    config = folder / CONFIG
    text = read_text(config, CorpusError, REPAIR) if config.is_file() else ""
    run = Run(folder.resolve().name, metrics, samples, text, provenance, notes, next(filter(None, lost), None))
    if run.problem is not None:
        notes.append(f"It {run.problem}. It is not compared with others.")
    return run


def read_provenance(folder: Path) -> dict[str, Any]:
    """provenance.json of a run folder, or of what looks like one; empty where there is none.

    Raises `CorpusError` for a damaged one.
    """
    path = folder / PROVENANCE
    return read_json_as(Provenance, path, CorpusError, REPAIR) if path.is_file() else {}


def read_samples(folder: Path, scenario: str, step: int, most: int | None = None) -> list[SampleLine]:
    """The lines of the samples of a step, the first `most` of them; none where the scenario has no file.

    Lines of other steps are not looked into. Raises `CorpusError` for a damaged line.
    """
    path = samples_file(folder, scenario)
    if not path.is_file():
        return []
    start = start_of_line(step).encode()
    with path.open("rb") as lines:
        lines_of_step = islice((line for line in lines if line.startswith(start) and line.endswith(b"\n")), most)
        return [
            typed(SampleLine, parse_json(line, str(path), finite=True), str(path), CorpusError)
            for line in lines_of_step
        ]


def _last_samples(path: Path, notes: list[str]) -> tuple[int, list[Sample]]:
    """The last step that has any, -1 without one, and its samples."""
    lines = []
    for where, line in _lines(SampleLine, path, notes):
        if len(line["segments"]) != len(line["segment_scores"]):
            counts = f"{counted(len(line['segments']), 'segment')} and {len(line['segment_scores'])} segment_scores"
            raise CorpusError(f"{where}: has {counts}. {REPAIR}")
        lines.append(line)
    newest = max((line["step"] for line in lines), default=-1)
    return newest, [_sample(line) for line in lines if line["step"] == newest]


def _sample(line: SampleLine) -> Sample:
    return Sample(
        line["prompt"],
        line["continuation"],
        line["score"],
        line["segments"],
        line["segment_scores"],
        [[(span["start"], span["end"], span["label"]) for span in spans] for spans in line.get("segment_spans", [])],
    )


def _lines(shape: Any, path: Path, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """JSON Lines; a last line that an interruption truncated is left out, with a note."""

    def cut_off() -> None:
        notes.append(f"{path.name} was cut off in its last line.")

    return read_json_lines_as(shape, path, CorpusError, REPAIR, cut_off=cut_off)
