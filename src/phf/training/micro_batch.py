"""How many blocks a device takes at once, for `training.per_device_train_batch_size: auto`: the most that fit.

The effective batch is what the configuration says, and blocks come in the same order, so the result is the same up to the
order in which floats are added.
"""

import copy
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from phf.errors import AGAIN, ConfigError
from phf.models.module import ObjectiveLM
from phf.text import counted
from phf.training.plan import Plan

CPU_TOKENS = 8192
"""Most tokens that a CPU takes at once: beyond that, its speed does not increase."""
CPU_SHARE = 0.5
"""Largest share of the available memory that the activations of a micro-batch may take on a CPU."""
GPU_SHARE = 0.92
"""Largest share of a GPU's memory; the rest is for evaluation and for gaps between tensors."""
CGROUP, MEMINFO = Path("/sys/fs/cgroup"), Path("/proc/meminfo")
ASSUMED_MEMORY = 4 * 2**30
"""Bytes, where the system does not say."""


def sizes_of(share: int) -> list[int]:
    """Micro-batches that divide the blocks of a device in a step, ascending."""
    return [size for size in range(1, share + 1) if share % size == 0]


def largest_that_fits(sizes: Sequence[int], fits: Callable[[int], bool]) -> int:
    """The last of ascending `sizes` before the first that does not fit, which may be found by running out of memory.

    Raises `ConfigError` if not even the first one fits.
    """
    best = 0
    for size in sizes:
        try:
            if not fits(size):
                break
        except torch.OutOfMemoryError:
            break
        best = size
    if not best:
        raise ConfigError(
            "training.per_device_train_batch_size is auto, but not even one block fits into the memory of this device. "
            "Lower dataset.seq_length, set training.activation_checkpointing: true, or choose a smaller model."
        )
    return best


def find_micro_batch(
    module: ObjectiveLM,
    share: int,
    seq_length: int,
    arguments: Any,
    *,
    keeps_documents: bool = False,
    hides: bool = False,
    preferred: int | None = None,
) -> int:
    """The largest micro-batch of this process: a divisor of `share`, its blocks in a step.

    `keeps_documents`: whether the documents of a block are kept apart; `hides`: whether segments are hidden; `preferred`: tried
    first, and used if it fits.
    """
    sizes = sizes_of(share)
    if arguments.device.type == "cpu":
        limits = _cpu_limit(module, seq_length, arguments, keeps_documents, hides)

        def fits(size: int) -> bool:
            return size == 1 or size <= limits

    else:
        module.to(arguments.device)

        def fits(size: int) -> bool:
            peak = _peak_bytes(module, size, seq_length, arguments, keeps_documents, hides)
            return peak <= _gpu_budget(module, arguments)

    if preferred in sizes:
        try:
            if fits(preferred):
                return preferred
        except torch.OutOfMemoryError:
            pass
    try:
        return largest_that_fits(sizes, fits)
    finally:
        if arguments.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the CPU's allocator, had no more memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(plan: Plan, step: int) -> ConfigError:
    """The error that ends a run whose step does not fit into memory."""
    size = plan.arithmetic.per_device_train_batch_size
    smaller = max((n for n in sizes_of(size) if n < size), default=None)
    advice = (
        "Set training.activation_checkpointing: true"
        if smaller is None
        else (
            f"Set training.per_device_train_batch_size to {smaller} or less (the result is the same: a step still has "
            f"{plan.arithmetic.effective_batch_size} blocks), or training.activation_checkpointing: true"
        )
    )
    return ConfigError(
        f"Out of memory at step {step:,}, with {counted(size, 'block')} of {plan.arithmetic.seq_length:,} tokens per "
        f"device. {advice}, or choose a smaller model. Checkpoints are kept: to continue from the last one, {AGAIN}."
    )


def available_memory(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """Bytes that this process may still use: of the machine, and of its control group."""
    try:
        matched = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:  # not Linux
        matched = None
    available = int(matched[1]) * 1024 if matched is not None else ASSUMED_MEMORY
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no control group, or no limit
        return available
    return max(0, min(available, limit - used))


def _cpu_limit(module: ObjectiveLM, seq_length: int, arguments: Any, keeps_documents: bool, hides: bool = False) -> int:
    """Blocks whose activations fit into memory, up to the number that a CPU can make use of."""
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    with (
        trial(module, arguments, keeps_documents, hides) as forward,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        forward(1, seq_length)
    per_block = sum(size for pointer, size in saved.items() if pointer not in own)
    return min(int(CPU_SHARE * available_memory() / max(per_block, 1)), CPU_TOKENS // seq_length)


def _peak_bytes(
    module: ObjectiveLM, size: int, seq_length: int, arguments: Any, keeps_documents: bool, hides: bool = False
) -> int:
    """Most memory in use in forward and backward passes of `size` blocks on a GPU, twice since gradients stay."""
    torch.cuda.reset_peak_memory_stats()
    with trial(module, arguments, keeps_documents, hides) as forward:
        for _ in range(2):
            forward(size, seq_length).backward()
    return torch.cuda.max_memory_allocated()


def _gpu_budget(module: ObjectiveLM, arguments: Any) -> int:
    """Bytes for a step, besides what comes later: two moments of AdamW, and the buckets of several processes."""
    free, _ = torch.cuda.mem_get_info()
    weights = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    later = (3 if arguments.world_size > 1 else 2) * weights
    return int(GPU_SHARE * (free + torch.cuda.memory_reserved())) - later


@contextmanager
def trial(module: ObjectiveLM, arguments: Any, keeps_documents: bool, hides: bool = False) -> Any:
    """Gives `forward(blocks, seq_length) -> loss` on noise; module, objective and random state are restored afterwards.

    `keeps_documents`: each block is two documents that are kept apart; `hides`: its first half is hidden from the second.
    """
    device = arguments.device
    objective, was_training = module.objective, module.training
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(arguments.mixed_precision)

    def forward(size: int, seq_length: int) -> torch.Tensor:
        vocab_size = module.lm.get_input_embeddings().weight.size(0)
        ids = torch.randint(vocab_size, (size, seq_length), device=device)
        low, _ = module.objective.score_range or (0.0, 1.0)
        with torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None):
            scores = torch.full(ids.shape, low, device=device)
            positions = torch.arange(seq_length, device=device).expand(ids.shape) % (seq_length // 2 + 1)
            hidden = (torch.arange(seq_length, device=device) < seq_length // 2).expand(ids.shape).int()
            return module(
                ids,
                token_scores=scores,
                position_ids=positions if keeps_documents else None,
                hidden=hidden if hides else None,
            )["loss"]

    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        module.objective = copy.deepcopy(objective)  # one that keeps a state does not see the noise
        if arguments.gradient_checkpointing:
            module.activation_checkpointing_enable()
        module.train()
        try:
            yield forward
        finally:
            module.objective = objective
            if arguments.gradient_checkpointing:
                module.activation_checkpointing_disable()
            module.train(was_training)
            module.zero_grad(set_to_none=True)
