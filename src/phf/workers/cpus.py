"""How many processors this process may use, which on a shared machine or in a container is fewer than there are."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """CPUs that this process may use: those it is bound to, and no more than the quota of its control group; at least 1."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return bound if quota is None else max(1, min(bound, int(quota)))


def _quota(cgroup: Path) -> float | None:
    """CPUs by the quota of the control group (version 2, else version 1); None where there is none."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            folder = cgroup / "cpu"
            limit = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):  # "max", or -1
        return None
    return int(limit) / int(period)
