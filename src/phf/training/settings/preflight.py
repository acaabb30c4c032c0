"""Checks of a run before its data is read: that model, tokenizer and scenarios are compatible."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from phf.config import Config, ModelConfig
from phf.errors import ConfigError
from phf.evaluation.generation.evaluator import Evaluator
from phf.feedback import Method
from phf.feedback.objectives import Objective
from phf.feedback.schedule import hides_segments
from phf.models import ValueHead, check_exportable, load_tokenizer, stored_value_head
from phf.models.building.build import check_architecture, check_vocabulary
from phf.sampling.scenarios import build_scenario
from phf.sampling.settings import check_lengths, sampling_config
from phf.storage.pretrained import load_model

REFERENCE = "kl_gpt3_callback.reference.path_or_name"


@dataclass(frozen=True)
class Preflight:
    """A model and a tokenizer for the run."""

    lm: Any
    """The model without values: names and shapes of its weights."""
    tokenizer: Any
    """None if it is yet to be trained."""
    warnings: list[str] = field(default_factory=list)


def preflight(config: Config, method: Method) -> Preflight:
    """Check everything but the data, before hours are spent on annotating and packing it.

    Raises `ConfigError` for what would stop the run later: a model that cannot be built, is not causal or does not fit
    its weights; a context that a block or sample exceeds; a tokenizer that cannot be used; a local reference LM that
    lacks weights.
    """
    lm, warnings = check_architecture(
        config.model, config.dataset.seq_length, config.dataset.attention, hides=hides_segments(config)
    )
    if method.objective.uses_values:
        pretrained_value_head(config.model, lm)
    tokenizer = None
    if config.tokenizer.train_from_corpus is None:
        tokenizer = load_tokenizer(config.tokenizer, config.model, list, method.control_tokens)
        check_with_tokenizer(config, method, lm, tokenizer)
    else:
        check_scenario_lengths(config, method, lm)
    reference = None if config.kl_gpt3_callback is None else config.kl_gpt3_callback.reference
    if reference is not None and reference.path_or_name is not None and Path(reference.path_or_name).is_dir():
        load_model(AutoModelForCausalLM, reference.path_or_name, REFERENCE, device_map="meta")
    return Preflight(lm, tokenizer, warnings)


def check_with_tokenizer(config: Config, method: Method, lm: Any, tokenizer: Any) -> None:
    """Raises `ConfigError` if vocabulary, scenarios or their lengths do not fit `tokenizer` or the model, or if the export
    would not behave as it should."""
    check_vocabulary(config.model, tokenizer.get_vocab().values(), method.control_tokens.ids(tokenizer))
    evaluator = Evaluator(config.generation, method.prompting, config.training.seed)
    evaluator.check(lm, tokenizer, ValueHead(1) if method.objective.uses_values else None)
    check_exportable(tokenizer, method.prompting, lm.config)


def pretrained_value_head(config: ModelConfig, lm: Any) -> ValueHead | None:
    """The value head that comes with a pretrained model; None without one. Raises `ConfigError` for one that does not fit."""
    if config.from_scratch or config.path_or_name is None:
        return None
    width = lm.get_output_embeddings().weight.size(1)
    return stored_value_head(config.path_or_name, width, config.model_kwargs.get("revision"))


def check_scenario_lengths(config: Config, method: Method, lm: Any) -> None:
    """Raises `ConfigError` if samples of a scenario exceed the model's context with any tokenizer: each begins with at
    least a document start and a control token, if there is one, and a prompt has at least one token."""
    for scenario in map(build_scenario, config.generation.scenario_configs):
        prefix = method.prompting.prefix if scenario.prefix is None else scenario.prefix
        num_control = len(method.control_tokens.tokens_in(prefix))
        shortest = 1 + num_control + (scenario.prompts_path is not None)
        check_lengths(scenario, sampling_config(scenario), [[0] * shortest], lm)


def check_value_head(config: Config, objective: Objective) -> list[str]:
    """Warnings about `value_head_config`. Raises `ConfigError` for a setting that it does not have."""
    key = "model.model_kwargs.value_head_config"
    settings = config.model.model_kwargs.get("value_head_config")
    if settings is None:
        return []
    if not isinstance(settings, dict) or not isinstance(settings.get("is_detached", False), bool):
        raise ConfigError(f"{key} is {settings!r}; it must be a mapping such as {{is_detached: true}}.")
    unknown = set(settings) - {"is_detached"}
    if unknown:
        raise ConfigError(f"{key}.{min(map(str, unknown))} is unknown. Known: is_detached.")
    return [] if objective.uses_values else [f"{key} is ignored: {type(objective).__name__} has no value head."]
