"""What a launcher (`torchrun`, `accelerate launch`, `srun` with the same variables) says about the processes of a job."""

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from phf.errors import ConfigError, PhfError
from phf.text import visible

RANK, LOCAL_RANK, WORLD_SIZE = "RANK", "LOCAL_RANK", "WORLD_SIZE"
"""Number of this process, its number on this machine, number of all processes."""
MEETING = ("MASTER_ADDR", "MASTER_PORT")
"""Where the processes find each other."""
LAUNCHED = "TORCHELASTIC_RUN_ID"
"""Set by `torchrun`, which watches over its processes; `srun` and the like end them even when they are killed themselves."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_SAVE = 45.0
SECONDS_TO_ASK = 2.0
"""For processes that meet the same error to ask who shows it."""
VISIBLE_GPUS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""Indices or names of the GPUs that a process may use."""
EXAMPLE = "torchrun --nproc-per-node 8 -m phf train ..."


def rank() -> int:
    """Number of this process in its job; 0 without a launcher."""
    return _number(os.environ.get(RANK)) or 0


def check_launcher(environment: Mapping[str, str] = os.environ) -> None:
    """Raises `ConfigError` if the variables of a launcher are incomplete or contradict each other: processes that do not
    find each other would each do the whole work, or wait forever."""
    variables = {name: environment[name] for name in (RANK, LOCAL_RANK, WORLD_SIZE) if environment.get(name)}
    advice = (
        f"Start the processes with a launcher, for example {EXAMPLE}, or unset {', '.join(variables)} for one process."
    )
    size = _number(variables.get(WORLD_SIZE, "1"))
    if variables.keys() <= {WORLD_SIZE, RANK} and size == 1 and variables.get(RANK, "0") == "0":
        return
    for name, text in variables.items():
        if _number(text) is None:
            raise ConfigError(f"{name} is {text!r} in the environment; it must be a whole number. {advice}")
    missing = [name for name in (RANK, LOCAL_RANK, WORLD_SIZE) if name not in variables]
    if missing:
        named = ", ".join(f"{name}={text}" for name, text in variables.items())
        raise ConfigError(f"The environment has {named}, but not {' and '.join(missing)}. {advice}")
    assert size is not None
    if not 0 <= int(variables[LOCAL_RANK]) <= int(variables[RANK]) < size:
        raise ConfigError(
            f"The environment has {RANK}={variables[RANK]} and {LOCAL_RANK}={variables[LOCAL_RANK]} with {WORLD_SIZE}={size}: "
            f"ranks count from 0 to {WORLD_SIZE} - 1. {advice}"
        )
    absent = [name for name in MEETING if not environment.get(name)]
    if size > 1 and absent:
        raise ConfigError(
            f"{WORLD_SIZE} is {size}, but the environment lacks {' and '.join(absent)}: the processes cannot find each other. "
            f"{advice}"
        )


@contextmanager
def ending_with_launcher(environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """In this block a process that `torchrun` or `accelerate launch` started ends when that has been killed: first as SIGTERM
    ends it, so that a run saves its state, and after `SECONDS_TO_SAVE` at once. Nobody else would end it."""
    if LAUNCHED not in environment:
        yield
        return
    is_over = threading.Event()
    threading.Thread(target=_watch_launcher, args=(os.getppid(), is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _watch_launcher(launcher: int, is_over: threading.Event) -> None:
    while os.getppid() == launcher:
        if is_over.wait(SECONDS_BETWEEN_LOOKS):
            return
    _say(f"The launcher of this process (rank {rank()}) has ended, so it ends too; a training run is saved first.")
    os.kill(os.getpid(), signal.SIGTERM)
    if not is_over.wait(SECONDS_TO_SAVE):
        _say(f"Rank {rank()} could not end within {SECONDS_TO_SAVE:.0f} seconds and is ended. Finished work is kept.")
        os._exit(128 + signal.SIGTERM)


def _say(message: str) -> None:
    with suppress(OSError):  # what the launcher passed on may be closed
        os.write(2, f"{message}\n".encode())


def check_alone(command: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raises `ConfigError` if a launcher has started several processes of a command that has no use for them."""
    if (_number(environment.get(WORLD_SIZE)) or 1) > 1 and environment.get(RANK):
        raise ConfigError(
            f"phf {command} was started {environment[WORLD_SIZE]} times by a launcher ({RANK} and {WORLD_SIZE} are set), but "
            f"runs in one process. Start it without the launcher: phf {command} ..."
        )


def check_devices(num_devices: int, environment: Mapping[str, str] = os.environ) -> None:
    """Raises `ConfigError` if several processes of this machine would share a GPU, for which they would wait forever.

    `num_devices`: GPUs that this process sees; 0 on a machine without any. A scheduler that gives each process its own
    GPU shows one to each.
    """
    local = _number(environment.get("LOCAL_WORLD_SIZE")) or 1
    shares = 1 < num_devices < local or (num_devices == 1 < local and "TORCHELASTIC_RUN_ID" in environment)
    if shares:
        gpus = "GPU" if num_devices == 1 else "GPUs"
        raise ConfigError(
            f"{local} processes were started on this machine, which has {num_devices} visible {gpus}: each process needs one "
            f"of its own. Start {num_devices} (torchrun --nproc-per-node {num_devices}), or make more visible "
            "(CUDA_VISIBLE_DEVICES)."
        )


def check_visible_gpus(num_devices: int, environment: Mapping[str, str] = os.environ) -> None:
    """Raises `ConfigError` if the environment names GPUs that are not there: CUDA would silently use fewer, or none.

    `num_devices`: GPUs that this process sees.
    """
    for variable in VISIBLE_GPUS:
        named = []
        for name in environment.get(variable, "").split(","):
            name = name.strip()
            if not (name.isascii() and name.isdigit()) and not name.startswith("GPU-"):
                break  # -1 and the like hide what follows; of partitions (MIG) CUDA uses the first
            named.append(name)
        if len(named) > num_devices:
            gpus = "GPU" if len(named) == 1 else "GPUs"
            raise ConfigError(
                f"{variable} names {len(named)} {gpus} ('{visible(environment[variable], 100)}'), of which "
                f"{num_devices or 'none'} can be used: the others do not exist, or their driver does not run. Name GPUs that "
                f'nvidia-smi lists, unset {variable}, or set it to "" to use the CPU.'
            )


def shows(error: PhfError, message: str) -> bool:
    """Whether this process is the one that shows an error: of several that meet the same, the first does."""
    if error.is_shared:
        return rank() == 0
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized():  # all of a machine read the same files
        return not _number(os.environ.get(LOCAL_RANK))
    key = "phf/shown/" + hashlib.sha256(message.encode()).hexdigest()
    try:
        store = distributed.distributed_c10d._get_default_store()
        is_first = store.add(key, 1) == 1
        deadline = time.monotonic() + SECONDS_TO_ASK
        # the first process may keep the store, which ends with it: the others ask before it does
        while rank() == 0 and store.add(key, 0) < distributed.get_world_size() and time.monotonic() < deadline:
            time.sleep(0.05)
    except RuntimeError:  # the process that kept the store has ended
        return True
    return is_first


def _number(text: str | None) -> int | None:
    """None for what is not a whole number, at least 0."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
