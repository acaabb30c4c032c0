"""The one writer of run folders.

config.yaml               the resolved configuration
provenance.json           what the run was made with
metrics.jsonl             one object per line: step, tokens_seen, and flat `group/name: number`
spikes.jsonl              one object per loss spike: step, loss, documents
inspected.jsonl           one object per segment that was read back from a block: step, text, score, score_again
samples/<scenario>.jsonl  one object per sample: step, prompt, continuation, score, segments and their scores
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phf.config import Config, dump_config
from phf.errors import CorpusError, OutputError
from phf.runs.layout import CONFIG, INSPECTED, METRICS, PROVENANCE, SAMPLES, SPIKES, samples_file
from phf.runs.provenance import describe_environment
from phf.storage.files import append_atomic, atomic_write, last_line, write_json_atomic, write_text_atomic
from phf.storage.reading import parse_json, read_bytes, read_json_lines_as, read_text, typed
from phf.storage.shapes import Metrics, SpikeLine


class RunWriter:
    """Writes the files of one run folder. Numbers that are not finite become null.

    Raises `OutputError` if the folder cannot be written; `append_metrics` lets the `OSError` through.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started = datetime.now(UTC)

    def write_config(self, config: Config) -> None:
        """`config.yaml`: `phf train --config` repeats the run from it."""
        write_text_atomic(self.folder / CONFIG, dump_config(config))

    def write_provenance(self, facts: Mapping[str, Any]) -> None:
        """`provenance.json`: versions, hardware and command line, and then `facts`."""
        write_json(self.folder / PROVENANCE, {**describe_environment(self._started), **facts})

    def append_metrics(self, step: int, tokens_seen: int, numbers: Mapping[str, float | None]) -> None:
        """Append one line to `metrics.jsonl`."""
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(_metrics_line(step, tokens_seen, numbers))

    def write_metrics(self, lines: Iterable[tuple[int, int, Mapping[str, float | None]]]) -> None:
        """All of `metrics.jsonl` at once: (step, tokens seen, numbers) of each line."""
        write_text_atomic(self.folder / METRICS, "".join(_metrics_line(*line) for line in lines))

    def numbers_at(self, step: int) -> dict[str, float]:
        """The numbers that `metrics.jsonl` has of a step; NaN for null."""
        path = self.folder / METRICS
        lines = read_json_lines_as(Metrics, path, OutputError) if path.is_file() else ()
        of_step = [line for _, line in lines if line.get("step") == step]
        return {key: math.nan if value is None else value for line in of_step for key, value in line.items()}

    def append_spike(self, line: Mapping[str, Any]) -> None:
        """Append one line to `spikes.jsonl`; it has a `step`."""
        with (self.folder / SPIKES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite_or_none(line)) + "\n")

    def append_inspected(self, step: int, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append the segments of an inspection to `inspected.jsonl`."""
        with (self.folder / INSPECTED).open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(finite_or_none({"step": step, **line})) + "\n" for line in lines))

    def read_spikes(self) -> list[dict[str, Any]]:
        """The lines of `spikes.jsonl`; none without one."""
        path = self.folder / SPIKES
        return [line for _, line in read_json_lines_as(SpikeLine, path, OutputError)] if path.is_file() else []

    def write_spikes(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """All of `spikes.jsonl` at once."""
        write_text_atomic(self.folder / SPIKES, "".join(json.dumps(finite_or_none(line)) + "\n" for line in lines))

    def write_samples(self, scenario: str, step: int, samples: Iterable[Mapping[str, Any]]) -> None:
        """Add the samples of a step to those of earlier ones, all or none, replacing any that an interrupted evaluation
        left for this step."""
        path = samples_file(self.folder, scenario)
        added = "".join(json.dumps(finite_or_none({"step": step, **sample})) + "\n" for sample in samples)
        last = STEP_OF_LINE.match(last_line(path))
        if last is not None and int(last[1]) < step:
            append_atomic(path, added.encode())
            return
        start = start_of_line(step)
        before = read_text(path, OutputError).splitlines(keepends=True) if path.exists() else []
        kept = [line for line in before if not line.startswith(start) and line.endswith("\n")]
        write_text_atomic(path, "".join(kept) + added)

    def cut_after(self, step: int) -> dict[Path, int]:
        """Drop the lines of metrics, spikes, inspections and samples past `step`, or cut off: a resumed run writes them
        again. -> how many damaged lines of each file were dropped too; nothing writes these again."""
        logs = [self.folder / name for name in (METRICS, SPIKES, INSPECTED)]
        paths = [*logs, *sorted((self.folder / SAMPLES).glob("*.jsonl"))]
        return {path: number for path in paths if (number := cut_after_step(path, step))}


STEP_OF_LINE = re.compile(rb'\{"step": (\d+),.*\n', re.DOTALL)
"""A whole line of a sample."""


def start_of_line(step: int) -> str:
    """How the line of a sample of that step begins."""
    return f'{{"step": {step},'


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically, with null for numbers that are not finite."""
    write_json_atomic(path, finite_or_none(value))


def finite_or_none(values: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON lacks: the only place where that is done."""
    if isinstance(values, Mapping):
        return {key: finite_or_none(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite_or_none(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def cut_after_step(path: Path, step: int) -> int:
    """Drop the lines of a JSON Lines file that are past `step`, or cut off; -> the number of others that cannot be read."""
    if not path.is_file():
        return 0
    kept, num_damaged = [], 0
    for line in read_bytes(path, OutputError).splitlines(keepends=True):
        try:
            values = typed(dict[str, Any], parse_json(line, str(path)), str(path), CorpusError)
        except CorpusError:
            num_damaged += line.endswith(b"\n")  # else a process was killed while it wrote the line
            continue
        if not isinstance(values.get("step"), int):
            num_damaged += 1
        elif line.endswith(b"\n") and values["step"] <= step:
            kept.append(line)
    with atomic_write(path) as partial:
        partial.write_bytes(b"".join(kept))
    return num_damaged


def _metrics_line(step: int, tokens_seen: int, numbers: Mapping[str, float | None]) -> str:
    return json.dumps({"step": step, "tokens_seen": tokens_seen, **finite_or_none(numbers)}) + "\n"
