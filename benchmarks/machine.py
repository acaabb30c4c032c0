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


def measure_peak(function: Callable, *arguments: object) -> int:
    """Bytes that a fresh process which calls `function(*arguments)` takes at most: of GPU memory if it uses a GPU, otherwise
    its resident size (Linux)."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_peak, args=(sender, function, *arguments))
    process.start()
    sender.close()  # so that recv() ends when the process dies without an answer
    peak = receiver.recv()
    process.join()
    return peak


def _send_peak(connection: Connection, function: Callable, *arguments: object) -> None:
    function(*arguments)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        connection.send(torch.cuda.max_memory_allocated())
        return
    # VmHWM, unlike getrusage, starts afresh in a new program and does not carry the parent's peak over
    status = Path("/proc/self/status").read_text()
    connection.send(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)
