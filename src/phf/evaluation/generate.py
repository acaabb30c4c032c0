"""Sampling from a model without leaving a trace in it: mode, random state and tokenizer stay as they were."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from phf.evaluation.scenarios import GenerationScenario

RELEASED_ONLY = ("bad_words_ids", "eos_token_id", "pad_token_id", "suppress_tokens")
"""Keys of released scenarios that follow from the tokenizer and the control tokens."""


@dataclass(frozen=True)
class Samples:
    """Prompts and continuations in the order of the scenario, special tokens stripped, and the seconds it took."""

    prompts: list[str]
    continuations: list[str]
    seconds: float


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; the mode of every submodule is restored afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def generate_samples(
    model: Any,
    tokenizer: Any,
    scenario: GenerationScenario,
    *,
    seed: int,
    batch_size: int,
    banned_token_ids: Sequence[int] = (),
) -> Samples:
    """Draw `scenario.num_samples` samples.

    Prompts are sorted by length into batches padded on the left, so little is wasted; results come back in the
    scenario's order. The random state of the process is untouched; `seed` alone decides. Banned tokens are never drawn.
    """
    prompts = scenario.prompts()
    prompt_ids = scenario.prompt_ids(tokenizer, prompts)
    settings = {key: value for key, value in scenario.generate_kwargs.items() if key not in RELEASED_ONLY}
    config = GenerationConfig(
        **settings,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=list(banned_token_ids) or None,
    )
    order = sorted(range(len(prompt_ids)), key=lambda i: len(prompt_ids[i]))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    continuations = [""] * len(prompt_ids)
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    start = time.perf_counter()
    with torch.random.fork_rng(devices), evaluation_mode(model), _own_config(model), torch.inference_mode():
        torch.manual_seed(seed)
        for begin in range(0, len(order), batch_size):
            batch = order[begin : begin + batch_size]
            for index, ids in zip(batch, _generate(model, [prompt_ids[i] for i in batch], config), strict=True):
                continuations[index] = decode(tokenizer, ids, special)
    return Samples(prompts, continuations, time.perf_counter() - start)


@contextmanager
def _own_config(model: Any) -> Iterator[None]:
    """Hide the model's generation config: generate() would fill in from it what the scenario leaves open."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _generate(model: Any, prompts: list[list[int]], config: GenerationConfig) -> list[list[int]]:
    width = max(map(len, prompts))
    pad = config.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return output[:, width:].tolist()


def decode(tokenizer: Any, ids: list[int], special: set[int]) -> str:
    """Text up to the first EOS, without special tokens: removed by id, so text that spells one stays."""
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return tokenizer.decode([i for i in ids if i not in special], clean_up_tokenization_spaces=False)
