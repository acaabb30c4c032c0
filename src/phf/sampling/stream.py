"""One sample, token by token, for whoever reads along: the same tokens that `generate_samples` draws."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue
from threading import Event
from typing import Any

import torch
from transformers import GenerationConfig

from phf.errors import ConfigError, ModelError
from phf.sampling.by_generate import draw_with_generate
from phf.sampling.continuation import BehindPrompt, decode
from phf.sampling.draw import Drawer, uniforms_of
from phf.sampling.finite import not_finite, usable_rows
from phf.sampling.generate import own_config
from phf.sampling.loop import Guidance, PromptRows
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

REPLACEMENT = "\ufffd"
"""What the beginning of a character decodes to until its other tokens are there."""


def stream_sample(
    model: Any,
    tokenizer: Any,
    scenario: GenerationScenario,
    *,
    seed: int,
    banned_token_ids: Sequence[int] = (),
    negative_prefix: str | None = None,
) -> Generator[str, None, None]:
    """The text of the scenario's first sample after each of its tokens, special tokens stripped; at the end the whole sample.

    Arguments as for `generate_samples`, which gives the same text for the same seed and a batch of one. Nothing is left
    switched off or locked between two texts: each may be asked for by another thread. An iterator that is closed draws nothing
    more.

    Args:
        model: in eval mode.

    Raises:
        ConfigError: the lengths cannot be met, guidance lacks what it needs, or `generate_kwargs` has an argument that only
            `model.generate` supports.
        ModelError: the model's logits are NaN.
    """
    if unknown := unknown_to_own_loop(scenario):
        raise ConfigError(f"Scenario '{scenario.name}': generate_kwargs.{unknown[0]} cannot be sampled token by token.")
    assert not model.training
    prompts = scenario.prompts()[:1]
    (prompt_ids,) = scenario.prompt_ids(tokenizer, prompts)
    config = sampling_config(scenario, tokenizer, banned_token_ids, model)
    check_lengths(scenario, config, [prompt_ids], model)
    check_steering(scenario, model, negative_prefix, None)
    if not uses_own_loop(scenario, model):
        tokens = _from_generate(model, prompt_ids, config, seed)
    else:
        guidance = None
        if scenario.guidance_scale is not None and scenario.guidance_scale != 1:
            away = scenario.model_copy(update={"prefix": negative_prefix}).prompt_ids(tokenizer, prompts)
            guidance = Guidance(away, scenario.guidance_scale)
        tokens = _from_own_loop(model, prompt_ids, config, seed, guidance)
    return _texts(tokens, tokenizer, prompt_ids[len(scenario.start_ids(tokenizer)) :], config.eos_token_id)


def _texts(
    tokens: Generator[int, None, None], tokenizer: Any, prompt_ids: list[int], ends: Sequence[int]
) -> Generator[str, None, None]:
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    behind, ids, text = BehindPrompt(tokenizer, prompt_ids), list[int](), ""
    with closing(tokens):
        for token in tokens:
            if token in ends:
                break
            ids.append(token)
            text = decode(behind, ids, special)
            yield text.rstrip(REPLACEMENT)
    if text.endswith(REPLACEMENT) or not text:
        yield text


def _from_own_loop(
    model: Any, prompt_ids: list[int], config: GenerationConfig, seed: int, guidance: Guidance | None
) -> Generator[int, None, None]:
    drawer = Drawer.of(config, model.device.type)
    most, fewest = max_length(config, len(prompt_ids)) - len(prompt_ids), min_new_tokens(config, len(prompt_ids))
    noise = uniforms_of([0], 1, seed, most).to(model.device)
    rows: PromptRows | None = None
    token = torch.empty(0)
    for step in range(most):
        with torch.inference_mode():  # switched off in this thread alone, and only until the token is handed out
            if rows is None:
                rows = PromptRows(model, [prompt_ids], len(prompt_ids) + most, guidance)
                logits = rows.start()
            else:
                logits = rows.step(token)
            if not usable_rows(logits).all():
                raise ModelError(not_finite(model))
            token = drawer(logits, torch.tensor([step >= fewest], device=model.device), noise[:, step])
        yield int(token)


class _Stopped(Exception):
    """Nobody reads along any more."""


def _from_generate(
    model: Any, prompt_ids: list[int], config: GenerationConfig, seed: int
) -> Generator[int, None, None]:
    """From `model.generate`, which runs to its end, and so in a thread of its own."""
    tokens: SimpleQueue[int | None] = SimpleQueue()
    is_stopped = Event()
    most, fewest = max_length(config, len(prompt_ids)) - len(prompt_ids), min_new_tokens(config, len(prompt_ids))

    class Watched(Drawer):
        def __call__(self, logits: Any, may_end: Any, uniforms: Any) -> Any:
            if is_stopped.is_set():
                raise _Stopped
            drawn = super().__call__(logits, may_end, uniforms)
            tokens.put(int(drawn[0]))
            return drawn

    def run() -> None:
        try:
            with torch.inference_mode(), own_config(model):
                noise = uniforms_of([0], 1, seed, most)
                drawer = Watched.of(config, model.device.type)
                draw_with_generate(model, [prompt_ids], [most], config, drawer, [fewest], noise)
        finally:
            tokens.put(None)

    with ThreadPoolExecutor(max_workers=1) as executor:
        ending = executor.submit(run)
        try:
            while (token := tokens.get()) is not None:
                yield token
            ending.result()
        finally:
            is_stopped.set()
