"""What the benchmarks share: the line of hardware and versions above every figure, and peak memory."""

import multiprocessing
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.05
"""At the memory of processes that a measured process has started."""


def describe_machine() -> str:
    """CPU model, usable cores, memory, GPU and the versions that matter."""
    import torch  # not for the processes whose memory is measured

    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers"))
    cpu = names[0] if names else platform.processor()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {gpu}; Python {platform.python_version()}, {packages}"


def measure_peak(function: Callable, *arguments: object, with_children: bool = False) -> int:
    """Bytes that a fresh process which calls `function(*arguments)` takes at most: of GPU memory if it uses a GPU, otherwise
    its resident size (Linux). `with_children`: plus the largest size of each process that it starts."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_peak, args=(sender, function, *arguments))
    process.start()
    sender.close()  # so that recv() ends when the process dies without an answer
    peaks: dict[int, int] = {}
    while not receiver.poll(SECONDS_BETWEEN_LOOKS):
        if not with_children:
            continue
        peaks |= {pid: peak for pid in _descendants(process.pid) if (peak := _peak(pid)) > peaks.get(pid, 0)}
    peak = receiver.recv()
    process.join()
    return peak + sum(peaks.values())


def _send_peak(connection: Connection, function: Callable, *arguments: object) -> None:
    function(*arguments)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        connection.send(torch.cuda.max_memory_allocated())
        return
    connection.send(_peak(os.getpid()))


def _peak(pid: int) -> int:
    """Largest resident size of a process so far, in bytes; 0 if it has ended."""
    # VmHWM, unlike getrusage, starts afresh in a new program and does not carry the parent's peak over
    try:
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(peak[1]) * 1024 if peak else 0


def _descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    try:
        children = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(other for child in children for other in _descendants(child))]
