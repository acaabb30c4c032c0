"""From a resolved architecture to a causal language model, tested before it is trained."""

import copy
from collections.abc import Collection, Iterable
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models.building.architecture import KEY, Architecture, read_architecture
from phf.models.building.causality import can_run, check_causal
from phf.models.building.documents import check_document_attention, strengthen
from phf.models.building.hiding import check_hiding
from phf.models.building.probe import own_loss
from phf.models.context import context_of, text_config
from phf.storage.loading_errors import UNREADABLE, first_sentence
from phf.storage.pretrained import load_model

PROBED_PARAMETERS = 1_000_000_000
"""Models up to this size are built an extra time before the data is read, to check whether they are causal."""
PROBED_ROWS = 512
MAX_LAYERS = 10_000
"""Otherwise a number with an extra digit would keep the first check busy for hours."""
ZERO_NOISE = 0.02
"""Standard deviation of the values with which the probe replaces parameters that start at zero."""


def build_lm(architecture: Architecture, where: str = "model") -> PreTrainedModel:
    """A model with random weights. Raises `ConfigError` if it cannot be built."""
    try:
        lm = AutoModelForCausalLM.from_config(
            copy.deepcopy(architecture.config), dtype=architecture.dtype, **architecture.arguments
        )
    except (*UNREADABLE, AssertionError) as error:
        keys = [f"model.model_kwargs.{key}" for key, value in architecture.arguments.items() if _is_about(error, value)]
        where = keys[0] if keys else where
        raise ConfigError(f"{where}: transformers cannot build this model: {first_sentence(error)}") from error
    # sub-configurations and manually created parameters may have a different default
    return lm.float() if architecture.dtype == torch.float32 else lm


def build_causal_lm(architecture: Architecture, where: str = "model") -> PreTrainedModel:
    """`build_lm` for a model that was tested and is causal; raises `ConfigError` for others."""
    lm = _build_with_padding(architecture, where)
    check_causal(lm, where)
    return lm


def _build_with_padding(architecture: Architecture, where: str) -> PreTrainedModel:
    """`build_lm`, with EOS as the padding token if the model does not run without one."""
    lm = build_lm(architecture, where)
    text = text_config(architecture.config)
    if text.pad_token_id is None and not can_run(lm):
        # some (RoBERTa, ProphetNet) count positions of what is not padding, and need to know what is
        text.pad_token_id = architecture.config.pad_token_id = text.eos_token_id
        lm = build_lm(architecture, where)
    return lm


def check_architecture(
    config: ModelConfig, seq_length: int, attention: str = "packed", *, hides: bool = False
) -> tuple[PreTrainedModel, list[str]]:
    """Check everything about the model that is known before its tokenizer; returns it without weights, and warnings.

    `attention`: "document" if it must keep the documents of a block apart; `hides`: whether it must hide segments.

    Raises `ConfigError` for settings, shapes, weights or packages that would stop the run once its data is ready.
    """
    architecture = read_architecture(config)
    check_context(architecture.config, seq_length)
    section = "model.config_kwargs" if config.path_or_name is None else KEY
    num_layers = getattr(text_config(architecture.config), "num_hidden_layers", None)
    if isinstance(num_layers, int) and num_layers > MAX_LAYERS:
        raise ConfigError(f"{section}: a model of {num_layers:,} layers. phf builds models of at most {MAX_LAYERS:,}.")
    with torch.device("meta"):
        lm = build_lm(architecture, section)
    if type(lm.config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(
            f"{section}: transformers can build {type(lm).__name__}, but not load it again from what it saves. "
            "Choose another model."
        )
    if not config.from_scratch:
        load_architecture(config, architecture, device_map="meta")
    num_built = lm.num_parameters() - lm.get_input_embeddings().weight.numel()
    if num_built <= PROBED_PARAMETERS:
        small = copy.deepcopy(architecture.config)
        text = text_config(small)
        text.vocab_size = min(text.vocab_size, PROBED_ROWS)
        fit_special_ids(small, 0)  # any id: nothing is trained
        with torch.random.fork_rng(devices=[]):
            probe = _build_with_padding(Architecture(small, torch.float32, {}, architecture.arguments, None), section)
            _shake(probe)
            check_causal(probe, section)
            own_loss(probe)
            if attention == "document" or hides:
                strengthen(probe)
            if attention == "document":
                check_document_attention(probe, seq_length)
            if hides:
                check_hiding(probe, seq_length)
    return lm, architecture.warnings


def check_vocabulary(config: ModelConfig, ids: Iterable[int], new_ids: Collection[int]) -> int:
    """Rows that a model from scratch needs for `ids` without the control tokens `new_ids`, which are added later.

    Raises `ConfigError` if `vocab_size` is smaller.
    """
    num_rows = 1 + max(set(ids) - set(new_ids))
    for section, settings in (
        ("model_kwargs", config.model_kwargs),
        ("config_kwargs", config.config_kwargs),
    ):
        vocab_size = settings.get("vocab_size")
        if config.from_scratch and vocab_size is not None and vocab_size < num_rows:
            raise ConfigError(
                f"model.{section}.vocab_size is {vocab_size}, but the tokenizer has ids up to {num_rows - 1}. Set it to "
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
        may_leave_out=bool(config.config_kwargs),
        config=architecture.config,
        dtype=architecture.dtype,
        **architecture.source,
        **architecture.arguments,
        **settings,
    )


def check_context(lm_config: Any, seq_length: int) -> None:
    """Raises `ConfigError` if a block does not fit."""
    context = context_of(lm_config)
    if context is not None and context < seq_length:
        raise ConfigError(f"dataset.seq_length is {seq_length}, but the model's context is {context} tokens.")


def fit_special_ids(lm_config: Any, eos_id: int) -> None:
    """Set BOS and EOS to `eos_id`, and no padding token: its embedding would be neither initialised nor trained.

    If a configuration needs a padding token, it is `eos_id` too.
    """
    for part in {id(part): part for part in (lm_config, text_config(lm_config))}.values():
        part.bos_token_id = part.eos_token_id = eos_id
        try:
            part.pad_token_id = None
        except StrictDataclassError:
            part.pad_token_id = eos_id


@torch.no_grad()
def _shake(lm: PreTrainedModel) -> None:
    """Give every layer an effect: some start at zero, which would hide what the model sees until it is trained."""
    for parameter in lm.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.normal_(std=ZERO_NOISE)


def _is_about(error: Exception, value: Any) -> bool:
    """Whether an error mentions a value, `FlashAttention2` of `flash_attention_2`."""
    return str(value).replace("_", "").lower() in str(error).replace("_", "").lower()
