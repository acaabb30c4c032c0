"""What a run was made with, whichever command made it: versions, hardware, command line."""

import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import phf

PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "pyarrow", "pycodestyle")


def describe_environment(started: datetime) -> dict[str, Any]:
    """The first part of provenance.json. The command line is recorded; environment variables, which may be secrets, are not."""
    return {
        "phf_version": phf.__version__,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "hardware": _hardware(),
        "command": sys.argv,
        "started": started.isoformat(timespec="seconds"),
    }


def _hardware() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": memory and round(memory, 1),
        "gpus": _gpu_names(),
    }


def _gpu_names() -> list[str]:
    """Names of the visible GPUs; a process that has not loaded torch has used none."""
    torch = sys.modules.get("torch")
    return [] if torch is None else [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def cpu_name() -> str:
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
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
