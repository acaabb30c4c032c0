"""What a run was made with, so that a number can be traced back: versions, hardware, data, seeds, command."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import phf
from phf.config import DatasetConfig
from phf.corpus.dataset import read_manifest
from phf.corpus.sources.listing import MANIFEST
from phf.scorers.base import scorer_mismatch
from phf.storage.files import file_sha256

PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "pyarrow", "pycodestyle")


def describe_run(command: list[str], sources: list[str], seed: int, **facts: Any) -> dict[str, Any]:
    """The content of provenance.json. The command line is recorded; the environment, where secrets live, is not."""
    return {
        "phf_version": phf.__version__,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "hardware": _hardware(),
        "dataset": [_dataset(source) for source in sources],
        "seeds": {"training": seed},
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }


def scorer_warnings(dataset: DatasetConfig, evaluating: dict[str, Any]) -> list[str]:
    """One line for each source whose manifest names another scorer, version or settings than those that evaluate."""
    warnings = []
    for source in [*dataset.datasets, *dataset.eval_datasets]:
        manifest = read_manifest(Path(source)) if Path(source).is_dir() else None
        if manifest is None:
            continue  # raw, so scored by the scorer that evaluates; or from elsewhere, and not said
        mismatch = scorer_mismatch(manifest.scorers.get(dataset.scores_column, manifest.scorer), evaluating)
        if mismatch is not None:
            warnings.append(f"{source}: {mismatch}")
    return warnings


def _dataset(source: str) -> dict[str, Any]:
    folder = Path(source)
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        return {"source": source}
    return {
        "source": ", ".join(manifest.sources),
        "manifest_sha256": file_sha256(folder / MANIFEST),
        "scorer": manifest.scorer,
        "segmenter": manifest.segmenter,
        "num_documents": manifest.num_documents,
        "num_segments": manifest.num_segments,
        "num_unscored": manifest.num_unscored,
    }


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "memory_gib": memory and round(memory, 1), "gpus": gpus}


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the folder the run was started in; None outside a repository."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
