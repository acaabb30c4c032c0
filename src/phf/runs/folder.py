"""What a run folder holds before a run begins in it: nothing, a start that failed, or steps that must not be lost."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

import yaml

from phf.config import Config, dump_config, load_config
from phf.config.differences import differences
from phf.errors import ConfigError, CorpusError, OutputError
from phf.storage.plain_yaml import read_yaml
from phf.storage.reading import parse_json, read_bytes, typed
from phf.storage.shapes import Metrics

OF_OTHER_VERBS = (
    "evaluation.json",
    "comparison.json",
    "redteam.json",
    "replay.json",
    "pool.jsonl",
    "job.json",
    "manifest.json",
)
"""Files by which a folder is known to be of another verb than `phf train`, that of annotating among them."""
OF_A_START = ("metrics.jsonl", "samples", "provenance.json", "tokenizer", "config.yaml")
"""What a run writes before its first step, config.yaml first; that is removed last."""
ADVICE = "Choose another with --run-name, or delete the folder."


def is_started(run_dir: Path) -> bool:
    """Whether a run has begun in the folder, however far it came."""
    return (run_dir / "metrics.jsonl").is_file() or (run_dir / "config.yaml").is_file()


def has_steps(run_dir: Path) -> bool:
    """Whether the folder holds something that training made: a checkpoint, be it half-written, a model, a logged step."""
    if (run_dir / "model").exists() or any(run_dir.glob("checkpoint-*")):
        return True
    path = run_dir / "metrics.jsonl"
    return path.is_file() and any(_is_of_a_step(line) for line in read_bytes(path, OutputError).splitlines())


def _is_of_a_step(line: bytes) -> bool:
    try:
        numbers = typed(Metrics, parse_json(line, "", finite=True), "", CorpusError)
    except CorpusError:
        return b'"step": 0,' not in line  # cut off, or not ours: not to be lost
    return numbers.get("step") != 0


def clear_failed_start(run_dir: Path) -> None:
    """Remove what a run left that ended before its first step, so that another may have its name.

    Raises `OutputError` for the folder of another verb.
    """
    other = next((name for name in OF_OTHER_VERBS if (run_dir / name).exists()), None)
    if other is not None:
        raise OutputError(f"{run_dir} was not written by phf train: it has {other}. {ADVICE}")
    for name in OF_A_START:
        path = run_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def refuse_other_configuration(run_dir: Path, config: Config) -> None:
    """Raises `ConfigError`, with the keys that differ, unless the run in the folder has the same configuration."""
    path = run_dir / "config.yaml"
    now = yaml.safe_load(dump_config(config))
    before = read_yaml(path, ConfigError, ADVICE)
    if before == now:
        return
    with suppress(ConfigError):  # of an older version: keys that it did not have are at their defaults
        before = yaml.safe_load(dump_config(load_config(config=path)[0]))
    if found := differences(before, now):
        raise ConfigError(
            f"{path} is not the configuration of this command, so resuming would mix two runs. They differ in: {found} "
            f"(the run's -> this command's). Resume the run with: phf train --config {path} --run-name {run_dir.name} "
            "--resume; or choose another --run-name."
        )


def step_of(checkpoint: Path) -> int:
    """The number in the name of a checkpoint folder; -1 for what is not one."""
    found = re.fullmatch(r"checkpoint-(\d{1,15})", checkpoint.name)
    return int(found[1]) if found is not None and checkpoint.is_dir() else -1
