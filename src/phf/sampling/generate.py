"""Sampling from a model without side effects: mode, random state and tokenizer are not changed."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from phf.models.value_head import ValueHead
from phf.sampling.best_of import keep_best
from phf.sampling.by_generate import draw_with_generate, generate_with
from phf.sampling.continuation import BehindPrompt, decode, until_end
from phf.sampling.division import ALONE, Division
from phf.sampling.draw import Drawer, uniforms_of
from phf.sampling.loop import Guidance, Lengths, sample_batch
from phf.sampling.padding import Together, batches, runs_together
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.settings import (
    check_lengths,
    check_steering,
    max_length,
    min_new_tokens,
    sampling_config,
    unknown_to_own_loop,
    uses_own_loop,
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Prompts and continuations in the order of the scenario, special tokens stripped, and the seconds it took."""

    prompts: list[str]
    continuations: list[str]
    seconds: float
    are_ended: list[bool] = dataclasses.field(default_factory=list)
    """Whether the model ended each sample itself; the others were cut off at their greatest length."""


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
    negative_prefix: str | None = None,
    value_head: ValueHead | None = None,
    division: Division = ALONE,
) -> Samples:
    """Draw `scenario.num_samples` samples.

    Prompts are sorted by length into batches padded on the left, so little is wasted; results are in the
    scenario's order. The random state of the process is not changed; only `seed` matters. Banned tokens are never drawn.
    A sample depends on the seed, its number and its prompt, and on `batch_size` and the other samples only by rounding
    errors. Where only `model.generate` supports an argument of `generate_kwargs`, it samples in its own way, each batch from
    its own seed. Either way it does not depend on the number of processes.

    Args:
        batch_size: rows that the model is run on at once; a guided sample takes two.
        negative_prefix: the control token that `scenario.guidance_scale` steers away from.
        value_head: judges the candidates of `scenario.best_of`.
        division: the processes that share the batches; each gets all samples.

    Raises:
        ConfigError: the lengths cannot be met, or guidance or best_of lack what they need.
        ModelError: the model's logits are NaN.
    """
    prompts = scenario.prompts()
    prompt_ids = scenario.prompt_ids(tokenizer, prompts)
    config = sampling_config(scenario, tokenizer, banned_token_ids, model)
    check_lengths(scenario, config, prompt_ids, model)
    check_steering(scenario, model, negative_prefix, value_head)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    start = time.perf_counter()
    with torch.random.fork_rng(devices), evaluation_mode(model), own_config(model), torch.inference_mode():
        if uses_own_loop(scenario, model):
            away = None
            if scenario.guidance_scale is not None and scenario.guidance_scale != 1:
                away = scenario.model_copy(update={"prefix": negative_prefix}).prompt_ids(tokenizer, prompts)
            drawn = _draw_samples(model, prompt_ids, away, scenario, config, seed, batch_size, division)
        else:
            drawn = _draw_with_generate(model, prompt_ids, scenario, config, seed, batch_size, division)
        if scenario.best_of > 1:
            assert value_head is not None
            ends = config.eos_token_id
            drawn = keep_best(model, value_head, prompt_ids, drawn, scenario.best_of, ends, batch_size, division)
        num_start = len(scenario.start_ids(tokenizer))
        texts = [BehindPrompt(tokenizer, ids[num_start:]) for ids in prompt_ids]
        continuations = [
            decode(text, until_end(ids, config.eos_token_id), special) for text, ids in zip(texts, drawn, strict=True)
        ]
        are_ended = [len(until_end(ids, config.eos_token_id)) < len(ids) for ids in drawn]
    return Samples(prompts, continuations, time.perf_counter() - start, are_ended)


def continue_ids(
    model: Any,
    tokenizer: Any,
    scenario: GenerationScenario,
    prompt_ids: list[list[int]],
    *,
    seed: int,
    batch_size: int,
    banned_token_ids: Sequence[int] = (),
) -> list[list[int]]:
    """Ids of the continuations of prompts that are ids already, without the token that ends them.

    Of the scenario only `name` and `generate_kwargs` matter. Otherwise as `generate_samples`.
    """
    config = sampling_config(scenario, tokenizer, banned_token_ids, model)
    check_lengths(scenario, config, prompt_ids, model)
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), evaluation_mode(model), own_config(model), torch.inference_mode():
        if uses_own_loop(scenario, model):
            drawn = _draw_samples(model, prompt_ids, None, scenario, config, seed, batch_size, ALONE)
        else:
            drawn = _draw_with_generate(model, prompt_ids, scenario, config, seed, batch_size, ALONE)
    return [until_end(ids, config.eos_token_id) for ids in drawn]


@contextmanager
def own_config(model: Any) -> Iterator[None]:
    """Hide the model's generation config: generate() would take from it what the scenario does not set."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _draw_samples(
    model: Any,
    prompt_ids: list[list[int]],
    away_ids: list[list[int]] | None,
    scenario: GenerationScenario,
    config: GenerationConfig,
    seed: int,
    batch_size: int,
    division: Division,
) -> list[list[int]]:
    """Ids of the continuations, up to EOS, from our own loop; the candidates of a sample are adjacent."""
    drawer = Drawer.of(config, model.device.type)

    def draw(batch: list[int]) -> list[list[int]]:
        samples = [row // scenario.best_of for row in batch]
        prompts = [prompt_ids[i] for i in samples]
        most = [max_length(config, len(p)) - len(p) for p in prompts]
        fewest = [min_new_tokens(config, len(p)) for p in prompts]
        noise = uniforms_of(batch, scenario.best_of, seed, max(most))
        guidance = None
        if away_ids is not None:
            assert scenario.guidance_scale is not None
            guidance = Guidance([away_ids[i] for i in samples], scenario.guidance_scale)
        return sample_batch(model, prompts, Lengths(most, fewest), drawer, noise, guidance)

    rows_at_once = batch_size if away_ids is None else max(1, batch_size // 2)
    return _draw_batches(draw, model, prompt_ids, scenario, rows_at_once, division, in_own_loop=True)


def _draw_with_generate(
    model: Any,
    prompt_ids: list[list[int]],
    scenario: GenerationScenario,
    config: GenerationConfig,
    seed: int,
    batch_size: int,
    division: Division,
) -> list[list[int]]:
    """The same from `model.generate`; drawn by our own code if it supports all of the scenario's arguments."""
    drawer = None if unknown_to_own_loop(scenario) else Drawer.of(config, model.device.type)

    def draw(batch: list[int]) -> list[list[int]]:
        prompts = [prompt_ids[row // scenario.best_of] for row in batch]
        room = [max_length(config, len(p)) - len(p) for p in prompts]
        if drawer is None:
            torch.manual_seed(seed + min(batch))  # its own, so that it does not matter who has drawn the other batches
            return generate_with(model, prompts, room, config)
        fewest = [min_new_tokens(config, len(p)) for p in prompts]
        noise = uniforms_of(batch, scenario.best_of, seed, max(room))
        return draw_with_generate(model, prompts, room, config, drawer, fewest, noise)

    return _draw_batches(draw, model, prompt_ids, scenario, batch_size, division, in_own_loop=False)


def _draw_batches(
    draw: Callable[[list[int]], list[list[int]]],
    model: Any,
    prompt_ids: list[list[int]],
    scenario: GenerationScenario,
    batch_size: int,
    division: Division,
    *,
    in_own_loop: bool,
) -> list[list[int]]:
    """What `draw` gives for each row, from batches of rows such that each is continued as it would be by itself."""
    lengths = [len(prompt) for prompt in prompt_ids for _ in range(scenario.best_of)]

    def together() -> Together:
        needs_trying = batch_size > 1 and not (in_own_loop and len(set(lengths)) == 1)
        return runs_together(model, in_own_loop=in_own_loop) if needs_trying else Together.ANY

    of_rows = list(batches(lengths, batch_size, division.from_main(together)))
    of_batches = division.map(draw, of_rows, f"sampling '{scenario.name}'", len)
    drawn: list[list[int]] = [[]] * len(lengths)
    for batch, rows_of_ids in zip(of_rows, of_batches, strict=True):
        for row, ids in zip(batch, rows_of_ids, strict=True):
            drawn[row] = ids
    return drawn
