"""Whether a CPU multiplies bfloat16 matrices, and autocast where it does."""

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
"""Determined once: older releases of `torch.compile` cannot trace the query of the CPU."""


def usable_autocast(device_type: str) -> AbstractContextManager[object]:
    """Switches autocast off on an x86 CPU without AVX-512, whose bfloat16 products are over 100x slower than float32."""
    if device_type == "cpu" and not cpu_has_bfloat16():
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def cpu_has_bfloat16() -> bool:
    """Whether torch has kernels for this CPU whose bfloat16 products are not much slower than those in float32."""
    return not IS_X86 or torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX", "AVX2")


def cpu_multiplies_bfloat16() -> bool:
    """Whether this is an x86 CPU with instructions for bfloat16 products, AVX-512 BF16 or AMX, that torch's kernels use."""
    if not IS_X86 or not cpu_has_bfloat16():
        return False
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test is not None and test() for test in tests)
