"""From the `model` section to a transformers configuration in which every setting is applied or refused by name."""

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models.causality import can_run, check_causal
from phf.pretrained import UNREADABLE, first_sentence, load_model, read_pretrained
from phf.registry import did_you_mean

KEY = "model.path_or_name"
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
HUB_ARGUMENTS = ("revision", "subfolder", "cache_dir", "local_files_only", "force_download", "proxies")
"""Arguments of `from_pretrained` that say where files are; they hold for model, configuration and tokenizer."""
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
    "config": "name it in model.path_or_name and change it in model.config_kwargs",
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
FROM_TOKENIZER = ("bos_token_id", "eos_token_id", "pad_token_id")
PROBED_PARAMETERS = 1_000_000_000
"""Models up to this size are built once more before the data is read, to see whether they are causal."""
PROBED_ROWS = 512


@dataclass(frozen=True)
class Architecture:
    """What the `model` section says, resolved."""

    config: Any
    """The transformers configuration, every setting applied."""
    dtype: torch.dtype | str
    """Of the parameters: float32 unless asked otherwise, or "auto": as stored."""
    source: dict[str, Any]
    """Arguments of `from_pretrained` that say where files are, of the tokenizer too."""
    arguments: dict[str, Any]
    """Arguments of `from_pretrained`, without those of `source`, or of `from_config`."""
    vocab_size: int | None
    """Rows of the embedding, where the section says how many."""
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
    chosen = {key: arguments.pop(key) for key in WEIGHT_ARGUMENTS if key in arguments}
    if config.from_scratch and chosen:
        warnings += [f"model.model_kwargs.{key} is ignored: from_scratch loads no weights." for key in chosen]
        chosen = {}
    build = {key: _implementation(key, arguments.pop(key)) for key in BUILD_ARGUMENTS if key in arguments}
    asked = [(f"model.model_kwargs.{key}", arguments.pop(key)) for key in DTYPE_ARGUMENTS if key in arguments]
    lm_config = _stored_config(config, source)
    settings = _settings(config, lm_config, arguments)
    asked += [
        (where, settings.pop(key)[1]) for key in DTYPE_ARGUMENTS if key in settings for where in [settings[key][0]]
    ]
    for key in FROM_TOKENIZER:
        if config.from_scratch and key in settings:
            where, value = settings.pop(key)
            warnings.append(f"{where} = {value} is ignored: a model from scratch has the ids of its tokenizer.")
    lm_config = _apply(config, lm_config, settings)
    dtype = _dtype(asked)
    if dtype == "auto" and config.from_scratch:
        dtype = getattr(text_part(lm_config), "dtype", None) or torch.float32
    if type(lm_config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        where = "model.model_type" if config.path_or_name is None else KEY
        raise ConfigError(
            f"{where} '{config.model_type or config.path_or_name}': transformers has no causal language model of the type "
            f"'{lm_config.model_type}'. Choose one such as gpt2, llama or gpt_neox."
        )
    if "vocab_size" in settings:
        rows = settings["vocab_size"][1]
        if not isinstance(rows, int) or rows < 1:
            raise ConfigError(f"{settings['vocab_size'][0]} is {rows!r}; it must be a positive whole number.")
    vocab_size = settings["vocab_size"][1] if "vocab_size" in settings else None
    return Architecture(lm_config, dtype, source, {**build, **chosen}, vocab_size, warnings)


def build_lm(architecture: Architecture, where: str = "model") -> PreTrainedModel:
    """A model with random weights. Raises `ConfigError` where the configuration describes none that can be built."""
    try:
        lm = AutoModelForCausalLM.from_config(
            copy.deepcopy(architecture.config), dtype=architecture.dtype, **architecture.arguments
        )
    except (*UNREADABLE, ZeroDivisionError, AssertionError) as error:
        given = [
            f"model.model_kwargs.{key}" for key, value in architecture.arguments.items() if _is_about(error, value)
        ]
        where = given[0] if given else where
        raise ConfigError(f"{where}: transformers cannot build this model: {first_sentence(error)}") from error
    # sub-configurations and parameters made by hand may have taken another default
    return lm.float() if architecture.dtype == torch.float32 else lm


def build_causal_lm(architecture: Architecture, where: str = "model") -> PreTrainedModel:
    """`build_lm` of a model that was tried and is causal; raises `ConfigError` for others."""
    lm = build_lm(architecture, where)
    text_config = text_part(architecture.config)
    if text_config.pad_token_id is None and not can_run(lm):
        # some (RoBERTa, XLM, ProphetNet) count what is not padding, and need to be told what is
        text_config.pad_token_id = architecture.config.pad_token_id = text_config.eos_token_id
        lm = build_lm(architecture, where)
    check_causal(lm, where)
    return lm


def check_architecture(config: ModelConfig, seq_length: int) -> tuple[PreTrainedModel, list[str]]:
    """Check all of the model that can be known before its tokenizer is; returns it without numbers, and warnings.

    Raises `ConfigError` for settings, shapes, weights or packages that would stop the run once its data is ready.
    """
    architecture = read_architecture(config)
    check_context(architecture.config, seq_length)
    shown = "model.config_kwargs" if config.path_or_name is None else KEY
    with torch.device("meta"):
        lm = build_lm(architecture, shown)
    if not config.from_scratch:
        load_architecture(config, architecture, device_map="meta")
    num_built = lm.num_parameters() - lm.get_input_embeddings().weight.numel()
    if num_built <= PROBED_PARAMETERS:
        small = copy.deepcopy(architecture.config)
        text = text_part(small)
        text.vocab_size = min(text.vocab_size, PROBED_ROWS)
        fit_special_ids(small, 0)  # any id: nothing is trained
        with torch.random.fork_rng(devices=[]):
            build_causal_lm(Architecture(small, torch.float32, {}, architecture.arguments, None), shown)
    return lm, architecture.warnings


def check_vocabulary(config: ModelConfig, ids: Iterable[int], new_ids: Collection[int]) -> int:
    """Rows that a model from scratch needs for `ids` without the control tokens `new_ids`, which are added later.

    Raises `ConfigError` where `vocab_size` says fewer.
    """
    num_rows = 1 + max(set(ids) - set(new_ids))
    for section, settings in (
        ("model_kwargs", config.model_kwargs),
        ("gpt2_config_kwargs", config.gpt2_config_kwargs),
        ("config_kwargs", config.config_kwargs),
    ):
        given = settings.get("vocab_size")
        if config.from_scratch and given is not None and given < num_rows:
            raise ConfigError(
                f"model.{section}.vocab_size is {given}, but the tokenizer has ids up to {num_rows - 1}. Set it to "
                f"{num_rows} or more, or leave it out."
            )
    return num_rows


def load_architecture(config: ModelConfig, architecture: Architecture, **settings: Any) -> Any:
    """The pretrained model; with `device_map="meta"` only names and shapes of its weights are read."""
    assert config.path_or_name is not None
    return load_model(
        AutoModelForCausalLM,
        config.path_or_name,
        KEY,
        may_leave_out=bool(config.config_kwargs or config.gpt2_config_kwargs),
        config=architecture.config,
        dtype=architecture.dtype,
        **architecture.source,
        **architecture.arguments,
        **settings,
    )


def check_context(lm_config: Any, seq_length: int) -> None:
    """Raises `ConfigError` where a block does not fit."""
    context = getattr(text_part(lm_config), "max_position_embeddings", None)
    if context is not None and 0 < context < seq_length:
        raise ConfigError(f"dataset.seq_length is {seq_length}, but the model's context is {context} tokens.")


def text_part(lm_config: Any) -> Any:
    """The part of a configuration that describes the language model: a section of it, or all of it."""
    # of an encoder-decoder family it would be a copy
    return lm_config if lm_config.is_encoder_decoder else lm_config.get_text_config(decoder=True)


def fit_special_ids(lm_config: Any, eos_id: int) -> None:
    """Let BOS and EOS be `eos_id`, and no token be padding: its embedding would be neither started nor trained.

    Where a configuration needs a padding token it is `eos_id` too.
    """
    for part in {id(part): part for part in (lm_config, text_part(lm_config))}.values():
        part.bos_token_id = part.eos_token_id = eos_id
        try:
            part.pad_token_id = None
        except StrictDataclassError:
            part.pad_token_id = eos_id


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
        ("model.gpt2_config_kwargs", config.gpt2_config_kwargs),
        ("model.config_kwargs", config.config_kwargs),
    ):
        for key, value in values.items():
            if key in REFUSED_SETTINGS:
                raise ConfigError(f"{section}.{key} cannot be set: {REFUSED_SETTINGS[key]}.")
            if key not in known:
                others = {"value_head_config", *HUB_ARGUMENTS, *WEIGHT_ARGUMENTS, *BUILD_ARGUMENTS, "dtype"}
                names = known | others if section == "model.model_kwargs" else known
                raise ConfigError(
                    f"{section}.{key} is no setting of {lm_config.model_type}. {did_you_mean(key, names)}"
                )
            settings[key] = (f"{section}.{key}", value)
    return settings


def _apply(config: ModelConfig, lm_config: Any, settings: dict[str, tuple[str, Any]]) -> Any:
    values = {key: value for key, (_, value) in settings.items()}
    if config.path_or_name is None:
        # built anew: what it works out from other settings (width of a head, kind of each layer) must follow these
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
                            f"{where}.{inner} is no setting of {part.model_type}. {did_you_mean(inner, part.to_dict())}"
                        )
                    setattr(part, inner, inner_value)
            else:
                setattr(lm_config, key, value)
        except (StrictDataclassError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where} is {value!r}: {first_sentence(error)}") from error
    return lm_config


def _is_about(error: Exception, value: Any) -> bool:
    """Whether an error speaks of a value, `FlashAttention2` of `flash_attention_2`."""
    return str(value).replace("_", "").lower() in str(error).replace("_", "").lower()


def _implementation(key: str, value: Any) -> Any:
    if isinstance(value, str) and "/" in value:
        raise ConfigError(f"model.model_kwargs.{key} is '{value}': code from the Hub is never run.")
    return value


def _dtype(asked: list[tuple[str, Any]]) -> torch.dtype | str:
    if not asked:
        return torch.float32
    where, value = asked[0]
    if value is None:
        return torch.float32
    name = str(value).removeprefix("torch.")
    if name == "auto":
        return name
    if name not in DTYPES:
        raise ConfigError(f"{where} is {value!r}. {did_you_mean(name, [*DTYPES, 'auto'])}")
    return DTYPES[name]
