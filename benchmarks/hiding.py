"""What hiding segments costs a training step: as `phf` does it and with a plain attention mask, against causal attention.

    python benchmarks/hiding.py                                   # GPT-2 of 4 layers of width 256, float32
    python benchmarks/hiding.py --device cuda --vocabulary 50257 --blocks 16 --layers 12 --width 768 --compile

A step is forward + backward on blocks of 1,024 tokens, in segments of 16 of which every fourth is hidden; on a GPU in bfloat16.
"mle" has no mask; "nothing hidden" hides nothing, with the loss of "mle"; "hiding" has hidden segments, and their targets;
"hiding, mask" gives the kernel a mask, from which it computes what is above the diagonal too, with the same loss. All alternate
in one run. Peak memory is the largest resident size of a fresh process that runs two such steps, or on a GPU the most that all
tensors take during a step. Set OMP_NUM_THREADS=1 on a CPU, whose own time is counted.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from machine import describe_machine, measure_peak
from phf.feedback.objectives import IGNORE_INDEX, MLE
from phf.models.building import hiding, masked_attention
from phf.models.module import ObjectiveLM

SEQ, SEGMENT, HEAD = 1024, 16, 64
NAMES = ("mle", "nothing hidden", "hiding", MASK := "hiding, mask")
USUAL = masked_attention.ROWS, hiding.added_to_logits
"""Queries of a part of attention, and what makes a mask into what a kernel of a GPU takes."""


@dataclass(frozen=True)
class Size:
    """What is measured."""

    vocabulary: int
    blocks: int
    layers: int
    width: int
    device: str
    compiled: bool


def as_it_is(mask: Tensor, dtype: torch.dtype, lowest: float) -> Tensor:
    """A mask of bool, for attention as transformers has it."""
    return mask


def build(size: Size) -> ObjectiveLM:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.width // HEAD,
        vocab_size=size.vocabulary,
        n_positions=SEQ,
        bos_token_id=0,
        eos_token_id=0,
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    module = ObjectiveLM(GPT2LMHeadModel(config), MLE()).to(size.device).train()
    if size.compiled:
        module.compile_trunk()
        module.compile_head()
    return module


def inputs_of(name: str, size: Size) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    blocks, device = size.blocks, size.device
    ids = torch.randint(size.vocabulary, (blocks, SEQ), generator=generator).to(device)
    if name == "mle":
        return {"input_ids": ids}
    segments = torch.arange(SEQ, device=device) // SEGMENT
    hidden = torch.where(segments % 4 == 3, segments, 0).expand(blocks, -1).int()
    if name == "nothing hidden":
        return {"input_ids": ids, "hidden": torch.zeros_like(hidden)}
    return {"input_ids": ids, "hidden": hidden, "labels": ids.masked_fill(hiding.follows_hidden(hidden), IGNORE_INDEX)}


def step(name: str, module: ObjectiveLM, inputs: dict[str, Tensor], device: str) -> tuple[float, float]:
    """(seconds, loss); on a CPU, the seconds of the processor, which other programs disturb less."""
    masked_attention.ROWS, hiding.added_to_logits = (SEQ, as_it_is) if name == MASK else USUAL
    module.zero_grad(set_to_none=True)
    if device == "cuda":
        torch.cuda.synchronize()
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        loss = module(**inputs)["loss"]
    loss.backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start, float(loss.detach())


def two_steps(name: str, size: Size) -> None:
    module, inputs = build(size), inputs_of(name, size)
    for _ in range(2):
        step(name, module, inputs, size.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--compile", action="store_true", help="as training does on a GPU")
    given = parser.parse_args()
    console = Console(width=120)
    console.print(describe_machine())
    size = Size(given.vocabulary, given.blocks, given.layers, given.width, given.device, given.compile)
    module = build(size)
    inputs = {name: inputs_of(name, size) for name in NAMES}
    for name in NAMES:
        step(name, module, inputs[name], size.device)  # warms up, and compiles
    losses = {name: step(name, module, inputs[name], size.device)[1] for name in NAMES}
    rounding = 1e-5 if size.device == "cpu" else 1e-3
    assert abs(losses["nothing hidden"] - losses["mle"]) < rounding * losses["mle"]
    assert abs(losses["hiding"] - losses[MASK]) < rounding * losses["hiding"]
    assert losses["hiding"] != losses["mle"]
    peaks: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(given.rounds):
        for name in NAMES if number % 2 else NAMES[::-1]:
            if size.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds[name].append(step(name, module, inputs[name], size.device)[0])
            if size.device == "cuda":
                peaks[name] = torch.cuda.max_memory_allocated()
    table = Table("step", "tokens/s", "speed against mle", "peak memory")
    for name in NAMES:
        ratios = [plain / own for plain, own in zip(seconds["mle"], seconds[name], strict=True)]
        peak = peaks[name] if size.device == "cuda" else measure_peak(two_steps, name, size)
        table.add_row(
            name,
            f"{size.blocks * SEQ / statistics.median(seconds[name]):,.0f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{peak / 2**20:,.0f} MiB",
        )
    console.print(table)


if __name__ == "__main__":
    main()
