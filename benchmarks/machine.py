"""The line of hardware and versions that stands above every figure."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe_machine() -> str:
    """CPU model, usable cores, memory and the versions that matter."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers"))
    cpu = names[0] if names else platform.processor()
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {packages}"
