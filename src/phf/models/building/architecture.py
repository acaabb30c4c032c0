"""From the `model` section to a transformers configuration in which every setting is applied or refused by name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models.context import text_config
from phf.registry.names import did_you_mean
from phf.storage.loading_errors import UNREADABLE, first_sentence
from phf.storage.model_files import named_code
from phf.storage.pretrained import read_pretrained

KEY = "model.path_or_name"
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
HUB_ARGUMENTS = ("revision", "subfolder", "cache_dir", "local_files_only", "force_download", "proxies")
"""Arguments of `from_pretrained` that say where files are; they apply to model, configuration and tokenizer."""
WEIGHT_ARGUMENTS = ("variant", "use_safetensors")
"""Arguments of `from_pretrained` that choose among files of weights."""
BUILD_ARGUMENTS = ("attn_implementation", "experts_implementation")
DTYPE_ARGUMENTS = ("dtype", "torch_dtype")
REFUSED_ARGUMENTS = {
    "trust_remote_code": "code that comes with a model is never run; leave it out",
    "token": "secrets are not kept in configurations; set HF_TOKEN instead",
    "use_auth_token": "secrets are not kept in configurations; set HF_TOKEN instead",
    "ignore_mismatched_sizes": "weights that do not fit would be random numbers; leave it out",
    "device_map": "training decides where the model is; leave it out",
    "quantization_config": "training needs the weights themselves; leave it out",
    "load_in_8bit": "training needs the weights themselves; leave it out",
    "load_in_4bit": "training needs the weights themselves; leave it out",
    "config": "set model.path_or_name and change it in model.config_kwargs",
    "state_dict": "weights come from model.path_or_name",
}
REFUSED_SETTINGS = {
    "model_type": "set model.model_type",
    "architectures": "it follows from the model's type",
    "transformers_version": "it is the installed one",
    "_name_or_path": "set model.path_or_name",
    "return_dict": "training reads the model's outputs by name",
    "is_encoder_decoder": "only causal language models are trained",
}
"""Settings that every configuration of transformers has, and that must not be changed here."""
POSITIONS = ("n_positions", "max_position_embeddings", "n_ctx")
"""Settings that say how long a context is."""
NOT_LEFT_TO_RIGHT = {
    "xlm": "transformers leaves out as many tokens at the end of a block as ends of documents are in it",
    "xlnet": "transformers samples each of its tokens from a placeholder, not from the token before it",
}
"""Types that transformers lists as causal language models, with the reason why they are refused."""
FROM_TOKENIZER = ("bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class Architecture:
    """The `model` section, resolved."""

    config: Any
    """The transformers configuration, every setting applied."""
    dtype: torch.dtype | str
    """Type of the parameters: float32 by default, or "auto": as stored."""
    source: dict[str, Any]
    """Arguments of `from_pretrained` that say where files are, also for the tokenizer."""
    arguments: dict[str, Any]
    """Arguments of `from_pretrained`, without those of `source`, or of `from_config`."""
    vocab_size: int | None
    """Rows of the embedding, if the section sets them."""
    warnings: list[str] = field(default_factory=list)


def read_architecture(config: ModelConfig) -> Architecture:
    """Check the section and resolve it. Raises `ConfigError` for a setting that is unknown or cannot be applied."""
    warnings: list[str] = []
    arguments = {key: value for key, value in config.model_kwargs.items() if key != "value_head_config"}
    for key, why in REFUSED_ARGUMENTS.items():
        if key in arguments:
            raise ConfigError(f"model.model_kwargs.{key}: {why}.")
    source = {key: arguments.pop(key) for key in HUB_ARGUMENTS if key in arguments}
    if source and config.path_or_name is None:
        raise ConfigError(f"model.model_kwargs.{next(iter(source))} has no effect without model.path_or_name.")
    if config.path_or_name is not None and Path(config.path_or_name).is_dir():
        of_hub = [key for key in source if key != "subfolder"]
        warnings += [f"model.model_kwargs.{key} is ignored: {config.path_or_name} is a folder." for key in of_hub]
    chosen = {key: arguments.pop(key) for key in WEIGHT_ARGUMENTS if key in arguments}
    if config.from_scratch and chosen:
        warnings += [f"model.model_kwargs.{key} is ignored: from_scratch loads no weights." for key in chosen]
        chosen = {}
    build = {key: _implementation(key, arguments.pop(key)) for key in BUILD_ARGUMENTS if key in arguments}
    dtypes = [(f"model.model_kwargs.{key}", arguments.pop(key)) for key in DTYPE_ARGUMENTS if key in arguments]
    lm_config = _stored_config(config, source)
    settings = _settings(config, lm_config, arguments)
    dtypes += [
        (where, settings.pop(key)[1]) for key in DTYPE_ARGUMENTS if key in settings for where in [settings[key][0]]
    ]
    for key in FROM_TOKENIZER:
        if config.from_scratch and key in settings:
            where, value = settings.pop(key)
            warnings.append(f"{where} = {value} is ignored: a model from scratch has the ids of its tokenizer.")
    lm_config = _apply(config, lm_config, settings)
    dtype = _dtype(dtypes)
    if dtype == "auto" and config.from_scratch:
        dtype = getattr(text_config(lm_config), "dtype", None) or torch.float32
    if type(lm_config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        where = "model.model_type" if config.path_or_name is None else KEY
        raise ConfigError(
            f"{where} '{config.model_type or config.path_or_name}': transformers has no causal language model of the type "
            f"'{lm_config.model_type}'. Choose one such as gpt2, llama or gpt_neox."
        )
    if lm_config.model_type in NOT_LEFT_TO_RIGHT:
        raise ConfigError(
            f"{lm_config.model_type} cannot be trained left to right: {NOT_LEFT_TO_RIGHT[lm_config.model_type]}. Choose "
            "another model."
        )
    if "vocab_size" in settings:
        rows = settings["vocab_size"][1]
        if not isinstance(rows, int) or rows < 1:
            raise ConfigError(f"{settings['vocab_size'][0]} is {rows!r}; it must be a positive whole number.")
    vocab_size = settings["vocab_size"][1] if "vocab_size" in settings else None
    return Architecture(lm_config, dtype, source, {**build, **chosen}, vocab_size, warnings)


def _stored_config(config: ModelConfig, source: dict[str, Any]) -> Any:
    if config.path_or_name is not None:
        return read_pretrained(AutoConfig.from_pretrained, config.path_or_name, KEY, **source)
    if config.model_type not in CONFIG_MAPPING:
        raise ConfigError(
            f"model.model_type '{config.model_type}'. {did_you_mean(str(config.model_type), CONFIG_MAPPING)}"
        )
    try:
        return AutoConfig.for_model(config.model_type)
    except UNREADABLE as error:
        raise ConfigError(f"model.model_type '{config.model_type}': {first_sentence(error)}") from error


def _settings(config: ModelConfig, lm_config: Any, arguments: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Setting -> (key in our configuration, value), from all sections that may name settings of the model."""
    known = (set(lm_config.to_dict()) | set(lm_config.attribute_map)) - REFUSED_SETTINGS.keys()
    settings: dict[str, tuple[str, Any]] = {}
    for section, values in (
        ("model.model_kwargs", arguments),
        ("model.config_kwargs", config.config_kwargs),
    ):
        for key, value in values.items():
            if key in REFUSED_SETTINGS:
                raise ConfigError(f"{section}.{key} cannot be set: {REFUSED_SETTINGS[key]}.")
            if key not in known:
                others = {"value_head_config", *HUB_ARGUMENTS, *WEIGHT_ARGUMENTS, *BUILD_ARGUMENTS, "dtype"}
                names = known | others if section == "model.model_kwargs" else known
                raise ConfigError(
                    f"{section}.{key} is not a setting of {lm_config.model_type}. {did_you_mean(key, names)}"
                )
            is_count = key.startswith(("n_", "num_")) or key.endswith(("_size", "_layers", "_heads"))
            if is_count and isinstance(value, int | float) and value < 0:
                raise ConfigError(f"{section}.{key} is {value}; it must not be negative.")
            is_context = value is not None and lm_config.attribute_map.get(key, key) in POSITIONS
            if is_context and (type(value) is not int or value < 1):
                raise ConfigError(f"{section}.{key} is {value!r}; it must be a positive whole number.")
            settings[key] = (f"{section}.{key}", value)
    return settings


def _apply(config: ModelConfig, lm_config: Any, settings: dict[str, tuple[str, Any]]) -> Any:
    values = {key: value for key, (_, value) in settings.items()}
    if config.path_or_name is None:
        # rebuilt: what it derives from other settings (width of a head, kind of each layer) must follow these
        try:
            return AutoConfig.for_model(config.model_type, **values)
        except UNREADABLE as error:
            where = next(
                (where for key, (where, _) in settings.items() if f"'{key}'" in str(error)), "model.config_kwargs"
            )
            raise ConfigError(f"{where}: {first_sentence(error)}") from error
    for key, (where, value) in settings.items():
        part: Any = getattr(lm_config, key, None)
        try:
            if isinstance(value, dict) and hasattr(part, "to_dict"):
                for inner, inner_value in value.items():
                    if inner not in part.to_dict() and inner not in part.attribute_map:
                        raise ConfigError(
                            f"{where}.{inner} is not a setting of {part.model_type}. {did_you_mean(inner, part.to_dict())}"
                        )
                    setattr(part, inner, inner_value)
            else:
                setattr(lm_config, key, value)
        except (StrictDataclassError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where} is {value!r}: {first_sentence(error)}") from error
    return lm_config


def _implementation(key: str, value: Any) -> Any:
    for _ in named_code({key: value}):
        raise ConfigError(f"model.model_kwargs.{key} is {value!r}: code from the Hub is never run.")
    return value


def _dtype(dtypes: list[tuple[str, Any]]) -> torch.dtype | str:
    if not dtypes:
        return torch.float32
    where, value = dtypes[0]
    if value is None:
        return torch.float32
    name = str(value).removeprefix("torch.")
    if name == "auto":
        return name
    if name not in DTYPES:
        raise ConfigError(f"{where} is {value!r}. {did_you_mean(name, [*DTYPES, 'auto'])}")
    return DTYPES[name]
