"""What this machine offers to runs that are in progress at the same time."""

import os
from collections.abc import Mapping, Sequence

from phf.study.plan import StudyRun
from phf.workers.cpus import available_cpus


def places_here(runs: Sequence[StudyRun], processes: int | None) -> list[dict[str, str]]:
    """The places for these runs on this machine; `processes`: how many, None to decide by the hardware."""
    import torch

    uses_cpu = all((run.config.training.model_extra or {}).get("use_cpu") for run in runs)
    num_gpus = 0 if uses_cpu else torch.cuda.device_count()
    return places_of(num_gpus, available_cpus(), processes, len(runs), os.environ)


def places_of(
    num_gpus: int, num_cpus: int, processes: int | None, num_runs: int, environment: Mapping[str, str]
) -> list[dict[str, str]]:
    """The environment of each run that may be in progress at the same time; no more than there are runs.

    With GPUs, one each, several to a GPU where more `processes` are asked for. Without, one per CPU, since the operations of
    a model small enough for a CPU are too short to be worth splitting. CPUs are divided among them.
    """
    count = min(processes or num_gpus or num_cpus, num_runs)
    threads = {} if environment.get("OMP_NUM_THREADS") else {"OMP_NUM_THREADS": str(max(1, num_cpus // count))}
    if not num_gpus:
        return [threads] * count
    visible = environment.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(num_gpus)))
    names = [name.strip() for name in visible.split(",")][:num_gpus]
    return [{**threads, "CUDA_VISIBLE_DEVICES": names[index % len(names)]} for index in range(count)]
