"""Sampling from a model without leaving a trace in it: mode, random state and tokenizer stay as they were."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.generation import MinPLogitsWarper, TemperatureLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from phf.errors import ConfigError
from phf.models.context import context_of
from phf.models.value_head import ValueHead
from phf.models.vocabulary import end_ids, ids_without_token
from phf.registry.names import did_you_mean
from phf.sampling.best_of import keep_best
from phf.sampling.by_generate import draw_with_generate, generate_with
from phf.sampling.continuation import BehindPrompt, decode, until_end
from phf.sampling.draw import HANDLED, Drawer, uniforms_of
from phf.sampling.loop import Guidance, Lengths, sample_batch
from phf.sampling.padding import Together, batches, runs_together
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.static_cache import runs_own_loop
from phf.workers.activity import watched

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


@dataclasses.dataclass(frozen=True)
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
    negative_prefix: str | None = None,
    value_head: ValueHead | None = None,
) -> Samples:
    """Draw `scenario.num_samples` samples.

    Prompts are sorted by length into batches padded on the left, so little is wasted; results come back in the
    scenario's order. The random state of the process is untouched; `seed` alone decides. Banned tokens are never drawn.
    A sample depends on the seed, its number and its prompt, and on `batch_size` and the other samples by rounding errors
    only; unless an argument of `generate_kwargs` is known to `model.generate` alone, which then samples in its own way.

    Args:
        batch_size: rows that the model is run on at once; a guided sample is two of them.
        negative_prefix: the control token that `scenario.guidance_scale` steers away from.
        value_head: judges the candidates of `scenario.best_of`.

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
    with torch.random.fork_rng(devices), evaluation_mode(model), _own_config(model), torch.inference_mode():
        if uses_own_loop(scenario, model):
            away = None
            if scenario.guidance_scale is not None and scenario.guidance_scale != 1:
                away = scenario.model_copy(update={"prefix": negative_prefix}).prompt_ids(tokenizer, prompts)
            drawn = _draw_samples(model, prompt_ids, away, scenario, config, seed, batch_size)
        else:
            torch.manual_seed(seed)
            drawn = _draw_with_generate(model, prompt_ids, scenario, config, seed, batch_size)
        if scenario.best_of > 1:
            assert value_head is not None
            drawn = keep_best(model, value_head, prompt_ids, drawn, scenario.best_of, config.eos_token_id, batch_size)
        num_start = len(scenario.start_ids(tokenizer))
        texts = [BehindPrompt(tokenizer, ids[num_start:]) for ids in prompt_ids]
        continuations = [
            decode(text, until_end(ids, config.eos_token_id), special) for text, ids in zip(texts, drawn, strict=True)
        ]
    return Samples(prompts, continuations, time.perf_counter() - start)


def uses_own_loop(scenario: GenerationScenario, model: Any) -> bool:
    """Whether the own loop samples: the model is plain enough, and it knows all of the scenario's `generate_kwargs`."""
    return runs_own_loop(model) and not unknown_to_own_loop(scenario)


def unknown_to_own_loop(scenario: GenerationScenario) -> list[str]:
    """Those of the scenario's `generate_kwargs` that only `model.generate` knows."""
    given = scenario.generate_kwargs.items()
    return [key for key, value in given if value is not None and key not in (*HANDLED, *RELEASED_ONLY)]


def sampling_config(
    scenario: GenerationScenario, tokenizer: Any = None, banned_token_ids: Sequence[int] = (), model: Any = None
) -> GenerationConfig:
    """What `generate` is called with. Raises `ConfigError` for an unknown argument or a bad value, tokenizer or not.

    All ids that end a text for `model` end a sample, and ids that the tokenizer has no token for are never drawn.
    """
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
    eos = tokenizer and tokenizer.eos_token_id
    ends, banned = eos, list(banned_token_ids)
    if model is not None:
        ends, banned = end_ids(model, tokenizer), sorted({*banned, *ids_without_token(model, tokenizer)})
    try:
        for key, warper in WARPERS.items():
            if settings.get(key) is not None:
                warper(settings[key])
        return GenerationConfig(
            **settings,
            bos_token_id=eos,
            eos_token_id=ends,
            pad_token_id=tokenizer and tokenizer.pad_token_id,
            suppress_tokens=banned or None,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def check_lengths(
    scenario: GenerationScenario, config: GenerationConfig, prompt_ids: Sequence[list[int]], model: Any
) -> None:
    """Raises `ConfigError` where the longest prompt leaves no room, or the samples would outgrow the model's context."""
    longest = max(map(len, prompt_ids))
    limit = _max_length(config, longest)
    context = context_of(model.config)
    if longest >= limit:
        raise ConfigError(
            f"Scenario '{scenario.name}': its longest prompt is {longest} tokens with start and control token, but max_length "
            f"is {limit}. Raise generate_kwargs.max_length or set max_new_tokens instead."
        )
    if context is not None and limit > context:
        raise ConfigError(
            f"Scenario '{scenario.name}': samples of up to {limit} tokens do not fit the model's context of {context}. "
            "Lower generate_kwargs.max_length (or max_new_tokens)."
        )


def check_steering(
    scenario: GenerationScenario, model: Any, negative_prefix: str | None, value_head: ValueHead | None
) -> None:
    """Raises `ConfigError` where guidance has no second control token, or best_of no value head."""
    where = f"Scenario '{scenario.name}'"
    if scenario.guidance_scale is not None:
        if scenario.prefix is None or negative_prefix is None:
            raise ConfigError(
                f"{where}: guidance_scale steers from one control token to the other, but this model has none. "
                "Leave it out, or evaluate a model of conditional training."
            )
        if not uses_own_loop(scenario, model):
            unknown = unknown_to_own_loop(scenario)
            reason = f"generate_kwargs.{unknown[0]}" if unknown else f"the cache of {type(model).__name__}"
            raise ConfigError(f"{where}: guidance_scale does not work together with {reason}. Leave one of them out.")
    if scenario.best_of > 1:
        if value_head is None:
            raise ConfigError(
                f"{where}: best_of is {scenario.best_of}, but this model has no value head that could choose. "
                "Leave it out, or evaluate a model trained with AWR."
            )
        if not scenario.generate_kwargs.get("do_sample"):
            raise ConfigError(
                f"{where}: best_of is {scenario.best_of}, but without generate_kwargs.do_sample all candidates are equal."
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


def _draw_samples(
    model: Any,
    prompt_ids: list[list[int]],
    away_ids: list[list[int]] | None,
    scenario: GenerationScenario,
    config: GenerationConfig,
    seed: int,
    batch_size: int,
) -> list[list[int]]:
    """Ids of the continuations, up to EOS, from the own loop; the candidates of a sample stand together."""
    drawer = Drawer.of(config, model.device.type)
    drawn: list[list[int]] = [[]] * (len(prompt_ids) * scenario.best_of)
    rows_at_once = batch_size if away_ids is None else max(1, batch_size // 2)
    for batch in _batches(model, prompt_ids, scenario, rows_at_once, in_own_loop=True):
        samples = [row // scenario.best_of for row in batch]
        prompts = [prompt_ids[i] for i in samples]
        most = [_max_length(config, len(p)) - len(p) for p in prompts]
        fewest = [_min_new_tokens(config, len(p)) for p in prompts]
        noise = uniforms_of(batch, scenario.best_of, seed, max(most))
        guidance = None
        if away_ids is not None:
            assert scenario.guidance_scale is not None
            guidance = Guidance([away_ids[i] for i in samples], scenario.guidance_scale)
        found = sample_batch(model, prompts, Lengths(most, fewest), drawer, noise, guidance)
        for row, ids in zip(batch, found, strict=True):
            drawn[row] = ids
    return drawn


def _draw_with_generate(
    model: Any,
    prompt_ids: list[list[int]],
    scenario: GenerationScenario,
    config: GenerationConfig,
    seed: int,
    batch_size: int,
) -> list[list[int]]:
    """The same from `model.generate`; the own draws decide as long as they know all of the scenario's arguments."""
    drawer = None if unknown_to_own_loop(scenario) else Drawer.of(config, model.device.type)
    drawn: list[list[int]] = [[]] * (len(prompt_ids) * scenario.best_of)
    for batch in _batches(model, prompt_ids, scenario, batch_size, in_own_loop=False):
        prompts = [prompt_ids[row // scenario.best_of] for row in batch]
        room = [_max_length(config, len(p)) - len(p) for p in prompts]
        if drawer is None:
            found = generate_with(model, prompts, room, config)
        else:
            fewest = [_min_new_tokens(config, len(p)) for p in prompts]
            noise = uniforms_of(batch, scenario.best_of, seed, max(room))
            found = draw_with_generate(model, prompts, room, config, drawer, fewest, noise)
        for row, ids in zip(batch, found, strict=True):
            drawn[row] = ids
    return drawn


def _batches(
    model: Any, prompt_ids: list[list[int]], scenario: GenerationScenario, batch_size: int, *, in_own_loop: bool
) -> Iterator[Sequence[int]]:
    """Rows of prompts to run together, so that none is continued in another way than by itself."""
    lengths = [len(prompt) for prompt in prompt_ids for _ in range(scenario.best_of)]
    needs_trying = batch_size > 1 and not (in_own_loop and len(set(lengths)) == 1)
    together = runs_together(model, in_own_loop=in_own_loop) if needs_trying else Together.ANY
    return watched(batches(lengths, batch_size, together), f"sampling '{scenario.name}'", len(lengths))


def _min_new_tokens(config: GenerationConfig, prompt_length: int) -> int:
    """Tokens before EOS is allowed; as in transformers, min_new_tokens has the last word."""
    if config.min_new_tokens is not None:
        return config.min_new_tokens
    return max((config.min_length or 0) - prompt_length, 0)
