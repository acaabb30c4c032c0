"""Chunked head against dense logits: speed and memory of a training step, alternating in one run.

    python benchmarks/head.py [--rounds 5] [--device cuda] [--vocabulary 50257] [--blocks 4]
    python benchmarks/head.py --vocabulary 128000 --blocks 8    # takes about 20 GB

The model is GPT-2 with 4 layers of width 256; a step is forward + backward on blocks of 1,024 tokens.
"dense" is the plain way: the model's own forward with labels, as transformers computes the loss. "trunk" is the same
step with no head at all (the sum of the last hidden state), what is left when the head costs nothing. "stock" is torch's
`linear_cross_entropy(reduction="none")`, from whose losses an objective could be computed as from ours (but not UL, which
needs log(1 - p) of a p that is nearly 1); "stock, in chunks" is what it offers for less memory; "compiled" is a matrix
product and cross-entropy that torch compiles together. "chunked and compiled" is our head with its softmax compiled, as it is
on a GPU. Peak memory is the largest resident size of a fresh process that runs two such steps, or on a GPU the memory of its
tensors, above that of "trunk".
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from machine import describe_machine, measure_peak
from phf.feedback.objectives import AWR, MLE, Objective, Unlikelihood
from phf.models.bfloat16 import cpu_has_bfloat16, usable_autocast
from phf.models.module import ObjectiveLM
from phf.models.value_head import ValueHead

SEQ, WIDTH, LAYERS = 1024, 256, 4
OBJECTIVES = {
    "MLE": MLE(),
    "UL": Unlikelihood(score_threshold=0.0, alpha=1.0),
    "AWR": AWR(alpha=0.5, beta=1.0),
}


@dataclass(frozen=True)
class Size:
    """What is measured, and where."""

    vocabulary: int
    blocks: int
    device: str


def build(objective: Objective, vocabulary: int) -> ObjectiveLM:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=WIDTH, n_head=4, vocab_size=vocabulary, n_positions=SEQ, bos_token_id=0, eos_token_id=0
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    value_head = ValueHead(WIDTH) if objective.uses_values else None
    return ObjectiveLM(GPT2LMHeadModel(config), objective, value_head, head="chunked").train()


def make_step(head: str, objective: str, bfloat16: bool, size: Size) -> Callable[[], float]:
    """One forward and backward; returns the loss."""
    module = build(OBJECTIVES[objective], size.vocabulary).to(size.device)
    if head == "chunked and compiled":
        module.compile_head()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(size.vocabulary, (size.blocks, SEQ), generator=generator)
    scores = torch.rand(size.blocks, SEQ, generator=generator) * (
        torch.rand(size.blocks, SEQ, generator=generator) < 0.2
    )
    ids, scores = ids.to(size.device), scores.to(size.device)

    def step() -> float:
        module.zero_grad(set_to_none=True)
        with torch.autocast(size.device, dtype=torch.bfloat16, enabled=bfloat16):
            if head == "trunk":
                with usable_autocast(size.device):
                    loss = module.lm.base_model(input_ids=ids).last_hidden_state.sum()
            elif head in HEADS:
                with usable_autocast(size.device):
                    hidden = module.lm.base_model(input_ids=ids).last_hidden_state[:, :-1].flatten(0, 1)
                    losses = HEADS[head](hidden, module.lm.lm_head.weight, ids[:, 1:].flatten())
                loss = losses.mean()
            elif head == "dense":
                loss = module.lm(input_ids=ids, labels=ids, use_cache=False).loss
            else:
                loss = module(input_ids=ids, labels=ids, token_scores=scores)["loss"]
        loss.backward()
        return loss.item()

    return step


def stock(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.linear_cross_entropy(hidden, weight, targets, reduction="none")


def stock_in_chunks(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.linear_cross_entropy(hidden, weight, targets, reduction="none", options=nn.LinearCrossEntropyOptions())


@torch.compile
def compiled(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight).float(), targets, reduction="none")


HEADS = {"stock": stock, "stock in chunks": stock_in_chunks, "compiled": compiled}
"""Others that could be used: (hidden [tokens, width], weight, targets) -> losses [tokens]."""
CASES = {
    "dense, float32": ("dense", "MLE", False),
    "chunked, float32": ("chunked", "MLE", False),
    "stock, float32": ("stock", "MLE", False),
    "stock in chunks, float32": ("stock in chunks", "MLE", False),
    "compiled, float32": ("compiled", "MLE", False),
    "dense, bfloat16": ("dense", "MLE", True),
    "stock, bfloat16": ("stock", "MLE", True),
    "stock in chunks, bfloat16": ("stock in chunks", "MLE", True),
    "compiled, bfloat16": ("compiled", "MLE", True),
    "chunked, bfloat16": ("chunked", "MLE", True),
    "chunked and compiled, float32": ("chunked and compiled", "MLE", False),
    "chunked and compiled, bfloat16": ("chunked and compiled", "MLE", True),
    "chunked, float32, UL": ("chunked", "UL", False),
    "chunked, float32, AWR": ("chunked", "AWR", False),
}


def peak_memory(case: tuple[str, str, bool], size: Size) -> int:
    """Bytes of two steps, the model included."""
    if size.device == "cpu":
        return measure_peak(two_steps, case, size)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    two_steps(case, size)
    return torch.cuda.max_memory_allocated() - before


def two_steps(case: tuple[str, str, bool], size: Size) -> None:
    step = make_step(*case, size)
    step()
    step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--blocks", type=int, default=4, help="of 1,024 tokens in a step")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    rounds, size = arguments.rounds, Size(arguments.vocabulary, arguments.blocks, arguments.device)
    cases = dict(CASES)
    console = Console()
    if not hasattr(F, "linear_cross_entropy"):
        console.print(f"torch {torch.__version__} has no linear_cross_entropy: stock is left out.", highlight=False)
        cases = {name: case for name, case in cases.items() if not case[0].startswith("stock")}
    console.print(f"{describe_machine()}\n{size}", highlight=False)
    if size.device == "cpu" and not cpu_has_bfloat16():
        console.print(
            "This CPU has no bfloat16 instructions: bfloat16 is left out of all but ours (it takes minutes per step), and"
        )
        console.print("chunked bfloat16 is what ObjectiveLM does here when autocast asks for it, float32.")
        cases = {name: case for name, case in cases.items() if not case[2] or case[0] == "chunked"}
    trunk = {bfloat16: peak_memory(("trunk", "MLE", bfloat16), size) for bfloat16 in (False, True)}
    peaks = {name: peak_memory(case, size) - trunk[case[2]] for name, case in cases.items()}
    steps = {name: make_step(*case, size) for name, case in cases.items()}
    losses = {name: step() for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    reference = "dense, float32"
    table = Table("step", "tokens/s", "speed", "MiB above trunk", "memory", "loss")
    for name in steps:
        median = statistics.median(seconds[name])
        ratio = statistics.median(a / b for a, b in zip(seconds[reference], seconds[name], strict=True))
        table.add_row(
            name,
            f"{size.blocks * SEQ / median:,.0f}",
            f"{ratio:.2f}x",
            f"{peaks[name] / 2**20:,.0f}",
            f"{peaks[name] / peaks[reference]:.3f}x",
            f"{losses[name]:.5f}",
        )
    table.caption = f"speed and memory against '{reference}'; medians of {rounds} alternating rounds"
    console.print(table)
    mle = seconds["chunked, float32"]
    for name in ("UL", "AWR"):
        other = seconds[f"chunked, float32, {name}"]
        ratio = statistics.median(a / b for a, b in zip(other, mle, strict=True))
        console.print(f"{name} takes {ratio:.3f}x the time of MLE (median of {rounds} rounds)")


if __name__ == "__main__":
    main()
