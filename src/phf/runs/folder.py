"""What a run folder holds before a run begins in it: nothing, a start that failed, or steps that must not be lost."""

import os
import shutil
from pathlib import Path

from phf.config import Config
from phf.config.meaning import configuration_differences
from phf.errors import ConfigError, CorpusError, OutputError
from phf.runs.layout import (
    CONFIG,
    EVALUATION,
    INSPECTED,
    METRICS,
    MODEL,
    PROVENANCE,
    SAMPLES,
    SEARCH,
    SPIKES,
    STREAM_INDEX,
    TRACKERS,
    resume_command,
)
from phf.storage.reading import parse_json, read_bytes, typed
from phf.storage.shapes import Metrics

OF_OTHER_VERBS = (
    EVALUATION,
    "comparison.json",
    SEARCH,
    "replay.json",
    "pool.jsonl",
    "job.json",
    "manifest.json",
    "study.json",
    "tamper.json",
    "audit.json",
)
"""Files by which a folder is known to be of another command than `phf train`, `phf annotate` among them."""
OF_A_START = (METRICS, SPIKES, INSPECTED, STREAM_INDEX, SAMPLES, TRACKERS, PROVENANCE, "tokenizer", CONFIG)
"""What a run writes before its first step, config.yaml first; that is removed last."""
ADVICE = "Choose another with --run-name, or delete the folder."


def is_started(run_dir: Path) -> bool:
    """Whether a run has begun in the folder."""
    return (run_dir / METRICS).is_file() or (run_dir / CONFIG).is_file()


def has_steps(run_dir: Path) -> bool:
    """Whether the folder holds something that training made: a checkpoint (even half-written), a model, a logged step."""
    if (run_dir / "model").exists() or any(run_dir.glob("checkpoint-*")):
        return True
    path = run_dir / METRICS
    return path.is_file() and any(_is_of_a_step(line) for line in read_bytes(path, OutputError).splitlines())


def _is_of_a_step(line: bytes) -> bool:
    try:
        numbers = typed(Metrics, parse_json(line, "", finite=True), "", CorpusError)
    except CorpusError:
        return b'"step": 0,' not in line  # truncated, or not ours: not to be lost
    return numbers.get("step") != 0


def refuse_other_kinds(run_dir: Path) -> None:
    """Raises `OutputError` for what is not a file where a run writes one, such as a FIFO, on which it would wait for a reader;
    and for what is not a folder of its own where a run makes one."""
    for name in (METRICS, SPIKES, INSPECTED, STREAM_INDEX, TRACKERS, CONFIG, PROVENANCE):
        path = run_dir / name
        if os.path.lexists(path) and not path.is_file():
            raise OutputError(f"{path} is not a regular file, which a run writes there. Remove it. {ADVICE}")
    for name in (SAMPLES, MODEL, "tokenizer", "unfinished"):
        path = run_dir / name
        is_replaced = name in (MODEL, "unfinished")
        if os.path.lexists(path) and (not path.is_dir() or (is_replaced and path.is_symlink())):
            raise OutputError(f"{path} is not a folder of its own, which a run makes there. Remove it. {ADVICE}")


def refuse_folder_of_others(run_dir: Path) -> None:
    """Raises `OutputError` for the folder of another command."""
    other = next((name for name in OF_OTHER_VERBS if (run_dir / name).exists()), None)
    if other is not None:
        raise OutputError(f"{run_dir} was not written by phf train: it has {other}. {ADVICE}")


def clear_failed_start(run_dir: Path) -> None:
    """Remove what a run left that ended before its first step, so that another may have its name.

    Raises `OutputError` for the folder of another command.
    """
    refuse_folder_of_others(run_dir)
    for name in OF_A_START:
        path = run_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def refuse_other_configuration(run_dir: Path, config: Config) -> None:
    """Raises `ConfigError`, with the keys that differ, unless the run in the folder was begun by a configuration that
    means the same."""
    path = run_dir / CONFIG
    try:
        differing = configuration_differences(path, config)
    except ConfigError as error:
        raise ConfigError(f"{error} So it is not known whether resuming would mix two runs. {ADVICE}") from error
    if differing:
        raise ConfigError(
            f"{path} is not the configuration of this command, so resuming would mix two runs. They differ in: {differing} "
            f"(the run's -> this command's). Resume the run with: {resume_command(run_dir)}; or choose "
            "another --run-name."
        )
