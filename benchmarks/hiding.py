"""What hiding segments costs a training step: the attention mask against plain causal attention, alternating in one run.

    python benchmarks/hiding.py [--rounds 5] [--device cuda] [--blocks 4] [--vocabulary 8192]

The model is GPT-2 with 4 layers of width 256; a step is forward + backward on blocks of 1,024 tokens, in segments of 16 of
which every fourth is hidden. "mle" has no mask; "nothing hidden" has one that hides nothing, whose loss must be that of "mle";
"hiding" has the mask of the segments, and their targets; "hiding, at once" computes what is above the diagonal too, as on a
GPU, and must have the same loss. Peak memory is the largest resident size of a fresh process that runs two such steps, or on a
GPU the memory of its tensors. Set OMP_NUM_THREADS=1 on a CPU, whose own time is counted.
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from machine import describe_machine, measure_peak
from phf.feedback.objectives import IGNORE_INDEX, MLE
from phf.models.building import masked_attention
from phf.models.building.hiding import follows_hidden
from phf.models.module import ObjectiveLM

SEQ, WIDTH, LAYERS, SEGMENT = 1024, 256, 4, 16
NAMES = ("mle", "nothing hidden", "hiding", "hiding, at once")
ROWS = {"hiding, at once": SEQ}
"""Queries of a part of attention, where that is not the usual number."""
USUAL_ROWS = masked_attention.ROWS


def build(vocabulary: int, device: str) -> ObjectiveLM:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=WIDTH, n_head=4, vocab_size=vocabulary, n_positions=SEQ, bos_token_id=0, eos_token_id=0
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return ObjectiveLM(GPT2LMHeadModel(config), MLE()).to(device).train()


def inputs_of(name: str, vocabulary: int, blocks: int, device: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(vocabulary, (blocks, SEQ), generator=generator).to(device)
    if name == "mle":
        return {"input_ids": ids}
    segments = torch.arange(SEQ, device=device) // SEGMENT
    hidden = torch.where(segments % 4 == 3, segments, 0).expand(blocks, -1).int()
    if name == "nothing hidden":
        return {"input_ids": ids, "hidden": torch.zeros_like(hidden)}
    return {"input_ids": ids, "hidden": hidden, "labels": ids.masked_fill(follows_hidden(hidden), IGNORE_INDEX)}


def step(name: str, module: ObjectiveLM, inputs: dict[str, Tensor], device: str) -> tuple[float, float]:
    """(seconds, loss); on a CPU, the seconds of the processor, which other programs disturb less."""
    masked_attention.ROWS = ROWS.get(name, USUAL_ROWS)
    module.zero_grad(set_to_none=True)
    if device == "cuda":
        torch.cuda.synchronize()
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    loss = module(**inputs)["loss"]
    loss.backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start, float(loss.detach())


def two_steps(name: str, vocabulary: int, blocks: int, device: str) -> None:
    module, inputs = build(vocabulary, device), inputs_of(name, vocabulary, blocks, device)
    for _ in range(2):
        step(name, module, inputs, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    arguments = parser.parse_args()
    console = Console(width=120)
    console.print(describe_machine())
    size = (arguments.vocabulary, arguments.blocks, arguments.device)
    module = build(arguments.vocabulary, arguments.device)
    inputs = {name: inputs_of(name, *size) for name in NAMES}
    losses = {name: step(name, module, inputs[name], arguments.device)[1] for name in NAMES}  # and warms up
    assert abs(losses["nothing hidden"] - losses["mle"]) < 1e-4 * losses["mle"]
    assert losses["hiding"] != losses["mle"]
    assert abs(losses["hiding"] - losses["hiding, at once"]) < 1e-5 * losses["hiding"]
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(arguments.rounds):
        for name in NAMES if number % 2 else NAMES[::-1]:
            seconds[name].append(step(name, module, inputs[name], arguments.device)[0])
    table = Table("step", "tokens/s", "speed against mle", "peak memory")
    for name in NAMES:
        ratios = [plain / own for plain, own in zip(seconds["mle"], seconds[name], strict=True)]
        peak = measure_peak(two_steps, name, *size)
        table.add_row(
            name,
            f"{arguments.blocks * SEQ / statistics.median(seconds[name]):,.0f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{peak / 2**20:,.0f} MiB",
        )
    console.print(table)


if __name__ == "__main__":
    main()
