"""Attention of one layer under a mask that hides segments: at once, and in parts below the diagonal, as on a CPU.

    OMP_NUM_THREADS=1 python benchmarks/attention.py [--rounds 5] [--precision float32 bfloat16]

Forward and backward of 4 blocks of 1,024 tokens with 4 heads of 64, in segments of 16 of which every fourth is hidden.
"causal" has no mask. That both ways give the same output and gradients is asserted. Times are of the processor.
"""

import argparse
import statistics
import time
from types import SimpleNamespace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from machine import describe_machine
from phf.models.building.hiding import visibility
from phf.models.building.masked_attention import WHOLE, attention_in_parts

BLOCKS, HEADS, SEQ, WIDTH, SEGMENT = 4, 4, 1024, 64, 16
LAYER = SimpleNamespace(is_causal=True)
NAMES = {"causal": WHOLE, "mask, at once": WHOLE, "mask, in parts": attention_in_parts}
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}


def run(name: str, states: list[Tensor], mask: Tensor) -> tuple[float, list[Tensor]]:
    """(seconds, [output, gradients of queries, keys and values])"""
    for state in states:
        state.grad = None
    start = time.process_time()
    output, _ = NAMES[name](LAYER, *states, None if name == "causal" else mask)
    output.sum().backward()
    seconds = time.process_time() - start
    return seconds, [output.detach(), *(state.grad.clone() for state in states)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    arguments = parser.parse_args()
    console = Console(width=120)
    console.print(describe_machine())
    segments = torch.arange(SEQ) // SEGMENT
    mask = visibility(torch.where(segments % 4 == 3, segments, 0).expand(BLOCKS, -1))
    table = Table("precision", "attention", "ms", "against causal")
    for precision in arguments.precision:
        dtype = getattr(torch, precision)
        torch.manual_seed(0)
        states = [torch.randn(BLOCKS, SEQ, HEADS, WIDTH, dtype=dtype).transpose(1, 2).requires_grad_() for _ in "qkv"]
        results = {name: run(name, states, mask)[1] for name in NAMES}  # and warms up
        for one, other in zip(results["mask, at once"], results["mask, in parts"], strict=True):
            assert (one - other).abs().max() < TOLERANCE[dtype]
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(arguments.rounds):
            for name in NAMES:
                seconds[name].append(run(name, states, mask)[0])
        for name, own in seconds.items():
            ratios = [a / b for a, b in zip(own, seconds["causal"], strict=True)]
            against = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            table.add_row(precision, name, f"{1000 * statistics.median(own):.0f}", against)
    console.print(table)


if __name__ == "__main__":
    main()
