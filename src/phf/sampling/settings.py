"""The settings of a scenario: what they mean for `generate`, and what is refused before anything is sampled."""

from collections.abc import Sequence
from typing import Any

from transformers import GenerationConfig
from transformers.generation import MinPLogitsWarper, TemperatureLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from phf.errors import ConfigError
from phf.models.context import context_of
from phf.models.value_head import ValueHead
from phf.models.vocabulary import end_ids, ids_without_token
from phf.registry.names import did_you_mean
from phf.sampling.arguments import GenerateArguments
from phf.sampling.draw import HANDLED
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.static_cache import runs_own_loop
from phf.storage.reading import typed
from phf.text import counted

RELEASED_ONLY = ("bad_words_ids", "eos_token_id", "pad_token_id", "suppress_tokens")
"""Keys of released scenarios that follow from the tokenizer and the control tokens."""
NOT_OURS = {
    "num_return_sequences": "use num_samples",
    "return_dict_in_generate": "only texts are kept",
    "stop_strings": "samples end at EOS or max_length",
}
"""Arguments of `generate` that would change the number or form of the returned texts."""
WARPERS = {
    "temperature": TemperatureLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
    "typical_p": TypicalLogitsWarper,
}
"""Checks that transformers makes only while sampling, perhaps after hours of training."""


def uses_own_loop(scenario: GenerationScenario, model: Any) -> bool:
    """Whether our own loop samples: the model is plain enough, and the loop supports all `generate_kwargs`."""
    return runs_own_loop(model) and not unknown_to_own_loop(scenario)


def unknown_to_own_loop(scenario: GenerationScenario) -> list[str]:
    """Those of the scenario's `generate_kwargs` that only `model.generate` supports."""
    settings = scenario.generate_kwargs.items()
    return [key for key, value in settings if value is not None and key not in (*HANDLED, *RELEASED_ONLY)]


def sampling_config(
    scenario: GenerationScenario, tokenizer: Any = None, banned_token_ids: Sequence[int] = (), model: Any = None
) -> GenerationConfig:
    """The arguments of `generate`. Raises `ConfigError` for an unknown argument or a bad value, with or without a tokenizer.

    All ids that end a text for `model` end a sample, and ids without a token in the tokenizer are never drawn.
    """
    where = f"Scenario '{scenario.name}': generate_kwargs"
    known = {key for key in vars(GenerationConfig()) if not key.startswith("_")}
    settings = {key: value for key, value in scenario.generate_kwargs.items() if key not in RELEASED_ONLY}
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"{where}.{key} is not an argument of generate. {did_you_mean(key, known)}")
        if key in NOT_OURS:
            raise ConfigError(f"{where}.{key} is not supported: {NOT_OURS[key]}.")
        is_bad_length = key.endswith(("length", "new_tokens", "top_k")) and not (type(value) is int and value >= 0)
        if value is not None and is_bad_length:
            raise ConfigError(f"{where}.{key} is {value!r}; it must be a whole number of tokens.")
    typed(GenerateArguments, {key: value for key, value in settings.items() if value is not None}, where, ConfigError)
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
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def check_lengths(
    scenario: GenerationScenario, config: GenerationConfig, prompt_ids: Sequence[list[int]], model: Any
) -> None:
    """Raises `ConfigError` if the longest prompt leaves no room, or samples would exceed the model's context."""
    longest = max(map(len, prompt_ids))
    limit = max_length(config, longest)
    context = context_of(model.config)
    if longest >= limit:
        raise ConfigError(
            f"Scenario '{scenario.name}': its longest prompt has {counted(longest, 'token')} with start and control "
            f"token, but max_length is {limit}. Raise generate_kwargs.max_length or set max_new_tokens instead."
        )
    if context is not None and limit > context:
        raise ConfigError(
            f"Scenario '{scenario.name}': samples of up to {limit} tokens do not fit the model's context of {context}. "
            "Lower generate_kwargs.max_length (or max_new_tokens)."
        )


def check_steering(
    scenario: GenerationScenario, model: Any, negative_prefix: str | None, value_head: ValueHead | None
) -> None:
    """Raises `ConfigError` if guidance lacks a second control token, or best_of a value head."""
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
                f"{where}: best_of is {scenario.best_of}, but this model has no value head to choose by. "
                "Leave it out, or evaluate a model trained with AWR."
            )
        if not scenario.generate_kwargs.get("do_sample"):
            raise ConfigError(
                f"{where}: best_of is {scenario.best_of}, but without generate_kwargs.do_sample all candidates are equal."
            )


def max_length(config: GenerationConfig, prompt_length: int) -> int:
    """Tokens that prompt and continuation may have together; transformers' own default is 20."""
    if config.max_new_tokens is not None:
        return prompt_length + config.max_new_tokens
    return 20 if config.max_length is None else config.max_length


def min_new_tokens(config: GenerationConfig, prompt_length: int) -> int:
    """Tokens before EOS is allowed; as in transformers, min_new_tokens takes precedence."""
    if config.min_new_tokens is not None:
        return config.min_new_tokens
    return max((config.min_length or 0) - prompt_length, 0)
