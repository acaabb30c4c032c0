"""Sampling from a model without leaving a trace in it: mode, random state and tokenizer stay as they were."""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.generation import MinPLogitsWarper, TemperatureLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from phf.errors import ConfigError
from phf.evaluation.scenarios import GenerationScenario
from phf.registry import did_you_mean

RELEASED_ONLY = ("bad_words_ids", "eos_token_id", "pad_token_id", "suppress_tokens")
"""Keys of released scenarios that follow from the tokenizer and the control tokens."""
NOT_OURS = {
    "num_return_sequences": "use num_samples",
    "return_dict_in_generate": "only texts are kept",
    "stop_strings": "samples end at EOS or max_length",
}
"""Arguments of `generate` that would change how many texts come back, or in what form."""
WARPERS = {
    "temperature": TemperatureLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
    "typical_p": TypicalLogitsWarper,
}
"""What transformers checks only while sampling, after hours of training perhaps."""


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
    config = sampling_config(scenario, tokenizer, banned_token_ids)
    check_lengths(scenario, config, prompt_ids, model)
    order = sorted(range(len(prompt_ids)), key=lambda i: len(prompt_ids[i]))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    continuations = [""] * len(prompt_ids)
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    start = time.perf_counter()
    with torch.random.fork_rng(devices), evaluation_mode(model), _own_config(model), torch.inference_mode():
        torch.manual_seed(seed)
        for begin in range(0, len(order), batch_size):
            batch = order[begin : begin + batch_size]
            texts = _generate(model, [prompt_ids[i] for i in batch], config)
            for index, ids in zip(batch, texts, strict=True):
                continuations[index] = decode(tokenizer, ids, special)
    return Samples(prompts, continuations, time.perf_counter() - start)


def sampling_config(
    scenario: GenerationScenario, tokenizer: Any = None, banned_token_ids: Sequence[int] = ()
) -> GenerationConfig:
    """What `generate` is called with. Raises `ConfigError` for an unknown argument or a bad value, tokenizer or not."""
    where = f"Scenario '{scenario.name}': generate_kwargs"
    known = {key for key in vars(GenerationConfig()) if not key.startswith("_")}
    settings = {key: value for key, value in scenario.generate_kwargs.items() if key not in RELEASED_ONLY}
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"{where}.{key} is no argument of generate. {did_you_mean(key, known)}")
        if key in NOT_OURS:
            raise ConfigError(f"{where}.{key} is not supported: {NOT_OURS[key]}.")
        is_bad_length = key.endswith(("length", "new_tokens", "top_k")) and not (type(value) is int and value >= 0)
        if value is not None and is_bad_length:
            raise ConfigError(f"{where}.{key} is {value!r}; it must be a whole number of tokens.")
    try:
        for key, warper in WARPERS.items():
            if settings.get(key) is not None:
                warper(settings[key])
        return GenerationConfig(
            **settings,
            bos_token_id=tokenizer and tokenizer.eos_token_id,
            eos_token_id=tokenizer and tokenizer.eos_token_id,
            pad_token_id=tokenizer and tokenizer.pad_token_id,
            suppress_tokens=list(banned_token_ids) or None,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def check_lengths(
    scenario: GenerationScenario, config: GenerationConfig, prompt_ids: Sequence[list[int]], model: Any
) -> None:
    """Raises `ConfigError` where the longest prompt leaves no room, or the samples would outgrow the model's context."""
    longest = max(map(len, prompt_ids))
    limit = _max_length(config, longest)
    context = getattr(model.config, "max_position_embeddings", None)
    if longest >= limit:
        raise ConfigError(
            f"Scenario '{scenario.name}': its longest prompt is {longest} tokens with EOS and control token, but max_length "
            f"is {limit}. Raise generate_kwargs.max_length or set max_new_tokens instead."
        )
    if context is not None and limit > context:
        raise ConfigError(
            f"Scenario '{scenario.name}': samples of up to {limit} tokens do not fit the model's context of {context}. "
            "Lower generate_kwargs.max_length (or max_new_tokens)."
        )


def _max_length(config: GenerationConfig, prompt_length: int) -> int:
    """Tokens that prompt and continuation may have together; transformers' own default is 20."""
    if config.max_new_tokens is not None:
        return prompt_length + config.max_new_tokens
    return 20 if config.max_length is None else config.max_length


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
    """Ids of the continuations, special tokens included.

    Each prompt has the room that it would have alone, however long the others of its batch are.
    """
    width = max(map(len, prompts))
    room = [_max_length(config, len(p)) - len(p) for p in prompts]
    # what the shortest prompt needs, as far as the longest one does not run out of positions
    context = getattr(model.config, "max_position_embeddings", None)
    num_new = max(room) if context is None else min(max(room), context - width)
    own = copy.deepcopy(config)
    own.max_length, own.max_new_tokens = None, num_new
    pad = config.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=own)[:, width:].tolist()
    return [ids[:length] for ids, length in zip(output, room, strict=True)]


def decode(tokenizer: Any, ids: list[int], special: set[int]) -> str:
    """Text up to the first EOS, without special tokens: removed by id, so text that spells one stays."""
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return tokenizer.decode([i for i in ids if i not in special], clean_up_tokenization_spaces=False)
