"""Samples per second of `generate_samples` against plain `model.generate` in arrival order, for prompts of mixed length.

Both sample from the same model (random weights; the shape of GPT-2, few layers) the same number of continuations of
the same prompts, of up to 96 tokens each, with temperature 0.7 and top_p 0.9. `generate` gets the prompts as they come,
padded on the left, in batches of the same size. `--end-bias` is added to the logit of EOS: with -100 no sample ends
early, with more some do, as those of a trained model. Either way both draw from the same distribution, so the same
number of tokens on average, which is printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from docstrings import docstrings
from machine import describe_machine
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.static_cache import pad_left
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer

SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0, "max_new_tokens": 96}


class Prompted(GenerationScenario):
    """A scenario whose prompts are given as ids."""

    def prompts(self) -> list[str]:
        return [""] * self.num_samples

    def prompt_ids(self, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
        return PROMPT_IDS[: self.num_samples]


PROMPT_IDS: list[list[int]] = []


def mixed_prompts(num: int, vocab_size: int) -> list[list[int]]:
    """EOS and 0 to 63 random tokens each, in random order of length."""
    random = Random(0)
    return [[0, *(random.randrange(1, vocab_size) for _ in range(random.randrange(64)))] for _ in range(num)]


def small_model(vocab_size: int, num_layers: int, width: int, end_bias: float) -> GPT2LMHeadModel:
    """Random weights with logits as spread out as those of a trained model."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=vocab_size, n_layer=num_layers, n_embd=width, n_head=width // 32, bos_token_id=0)
    config.eos_token_id = 0
    config.tie_word_embeddings = False
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(3.5 / (0.02 * width**0.5))
        bias = torch.zeros(vocab_size)
        bias[0] = end_bias
    model.lm_head.bias = torch.nn.Parameter(bias)
    return model


def plain(model: Any, prompts: list[list[int]], batch_size: int) -> float:
    """Mean number of tokens, EOS aside, that `generate` adds to the prompts in arrival order."""
    torch.manual_seed(0)
    config = GenerationConfig(**SAMPLING, eos_token_id=0, pad_token_id=0)
    total = 0
    for begin in range(0, len(prompts), batch_size):
        ids, mask = pad_left(prompts[begin : begin + batch_size], 0, model.device)
        with torch.inference_mode():
            output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        total += int((output[:, ids.size(1) :] != 0).sum())
    return total / len(prompts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--end-bias", type=float, default=-100.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers_logging.set_verbosity_error()
    console = Console()
    console.print(describe_machine())
    tokenizer = prepare_tokenizer(train_tokenizer(docstrings()[0], 300), None)
    model = small_model(arguments.vocabulary, arguments.layers, arguments.width, arguments.end_bias)
    PROMPT_IDS.extend(mixed_prompts(arguments.samples, arguments.vocabulary))
    scenario = Prompted(name="mixed", num_samples=arguments.samples, generate_kwargs=SAMPLING)
    ways: dict[str, Callable[[], object]] = {
        "model.generate, arrival order": lambda: plain(model, PROMPT_IDS, arguments.batch_size),
        "generate_samples": lambda: generate_samples(
            model, tokenizer, scenario, seed=0, batch_size=arguments.batch_size
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    mean = plain(model, PROMPT_IDS[: arguments.batch_size], arguments.batch_size)  # warms up as well
    for number in range(arguments.rounds):
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    table = Table("what", "samples/s", "slowest round")
    for name, times in seconds.items():
        rates = [arguments.samples / t for t in times]
        table.add_row(name, f"{statistics.median(rates):,.1f}", f"{min(rates):,.1f}")
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    table.caption = (
        f"{arguments.samples} samples of {mean:.0f} tokens, batches of {arguments.batch_size}, {arguments.layers} layers x "
        f"{arguments.width}, vocabulary {arguments.vocabulary}, {arguments.threads} threads; "
        f"{arguments.rounds} alternating rounds: {statistics.median(ratios):.2f}x (slowest {min(ratios):.2f}x)"
    )
    console.print(table)


if __name__ == "__main__":
    main()
