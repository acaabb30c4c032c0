"""The paths in a run folder."""

import shlex
from pathlib import Path

CONFIG, PROVENANCE, METRICS, SAMPLES, MODEL = "config.yaml", "provenance.json", "metrics.jsonl", "samples", "model"
EVALUATION, SEARCH = "evaluation.json", "redteam.json"
"""What `phf evaluate` and `phf redteam` write."""
SPIKES = "spikes.jsonl"
TRACKERS = "trackers.json"
"""Tracker -> the name or id of its run."""
INSPECTED = "inspected.jsonl"
STREAM_INDEX = "stream.index"
"""Of a streamed run: which piece of the corpus has which blocks; see `phf.tokens.stream_index`."""


def samples_file(folder: Path, scenario: str) -> Path:
    """The samples of a scenario."""
    return folder / SAMPLES / f"{scenario}.jsonl"


def run_of_model(model: Path) -> Path | None:
    """The folder of the run that exported a model; None for a model from elsewhere."""
    return model.parent if model.name == MODEL and (model.parent / CONFIG).is_file() else None


def resume_command(run_dir: Path) -> str:
    """The command that continues a run of `phf train`, wherever its folder is."""
    words = ["phf", "train", "--config", str(run_dir / CONFIG), "--run-name", run_dir.name]
    if run_dir.parent != Path("runs"):  # the default of --output-dir
        words += ["--output-dir", str(run_dir.parent)]
    return shlex.join([*words, "--resume"])
