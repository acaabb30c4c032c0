"""From the `tokenizer` and `model` sections of a configuration to a tokenizer and a causal language model."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from phf.config import ModelConfig, TokenizerConfig
from phf.data.tokenizer import prepare_tokenizer, train_tokenizer
from phf.errors import ConfigError
from phf.pretrained import load_model, read_pretrained
from phf.registry import did_you_mean

NEW_EMBEDDING_NOISE = 0.01
"""Standard deviation around the mean of the old embeddings, so that new tokens are not sampled too often at first."""


def load_tokenizer(config: TokenizerConfig, model: ModelConfig, corpus: Callable[[], Iterable[str]]) -> Any:
    """The tokenizer named by `path_or_name`, one trained on `corpus()`, or else the model's own; control tokens added."""
    if config.train_from_corpus is not None:
        tokenizer = train_tokenizer(corpus(), config.train_from_corpus)
    else:
        name = config.path_or_name or model.path_or_name
        if name is None:
            raise ConfigError(
                "tokenizer: name one in tokenizer.path_or_name, or set tokenizer.train_from_corpus to a vocabulary size."
            )
        tokenizer = pretrained_tokenizer(name, "tokenizer.path_or_name")
    control_tokens = config.special_tokens
    return prepare_tokenizer(tokenizer, None if control_tokens is None else (control_tokens[0], control_tokens[1]))


def load_lm(config: ModelConfig, tokenizer: Any, seq_length: int, seed: int) -> PreTrainedModel:
    """The causal LM: from scratch under `seed`, or pretrained; with embeddings for all of `tokenizer`.

    Embeddings of added tokens, input and output, start at the mean of the old ones plus noise.
    """
    torch.manual_seed(seed)
    arguments = {key: value for key, value in config.model_kwargs.items() if key != "value_head_config"}
    if "trust_remote_code" in arguments:
        raise ConfigError(
            "model.model_kwargs.trust_remote_code: code that comes with a model is never run; leave it out."
        )
    new_ids = config_special_tokens(config, tokenizer)
    if config.from_scratch:
        lm_config = _lm_config(config, arguments)
        if config.path_or_name is None:
            lm_config.vocab_size = len(tokenizer) - len(new_ids)
        for key in ("bos_token_id", "eos_token_id"):
            setattr(lm_config, key, tokenizer.eos_token_id)
        # A model neither starts nor trains the embedding of its padding token; ours, EOS, opens each document.
        lm_config.pad_token_id = None
        lm = AutoModelForCausalLM.from_config(lm_config)
    else:
        assert config.path_or_name is not None
        settings = {**config.gpt2_config_kwargs, **config.config_kwargs, **arguments}
        lm = pretrained_lm(config.path_or_name, "model.path_or_name", **{"dtype": torch.float32, **settings})
        known = _own_vocabulary(config.path_or_name) if new_ids else {}
        new_ids = [i for i in new_ids if tokenizer.convert_ids_to_tokens(i) not in known]
    context = getattr(lm.config, "max_position_embeddings", None)
    if context is not None and seq_length > context:
        raise ConfigError(f"dataset.seq_length is {seq_length}, but the model's context is {context} tokens.")
    add_embeddings(lm, tokenizer, new_ids)
    lm.get_input_embeddings().padding_idx = None  # see above
    return lm


def pretrained_tokenizer(name: str, key: str, **settings: Any) -> Any:
    """The tokenizer in a folder or on the Hub. Raises `ConfigError` naming `key` where there is none."""
    tokenizer = read_pretrained(AutoTokenizer.from_pretrained, name, key, **settings)
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        # what transformers makes of a model folder that has no tokenizer files
        raise ConfigError(f"{key}: '{name}' holds no tokenizer. Name a folder that has one, or save one there.")
    return tokenizer


def pretrained_lm(name: str, key: str, **settings: Any) -> PreTrainedModel:
    """The causal LM in a folder or on the Hub. Raises `ConfigError` naming `key` where it cannot be loaded."""
    return load_model(AutoModelForCausalLM, name, key, **settings)


def config_special_tokens(config: ModelConfig, tokenizer: Any) -> list[int]:
    """Ids of the control tokens that conditional training added to `tokenizer`; empty without it."""
    if not config.num_additional_tokens:
        return []
    return [tokenizer.convert_tokens_to_ids(token) for token in tokenizer.extra_special_tokens][
        -config.num_additional_tokens :
    ]


@torch.no_grad()
def add_embeddings(lm: PreTrainedModel, tokenizer: Any, new_ids: list[int]) -> None:
    """Make room for every id of `tokenizer` and start the rows of `new_ids` at the mean of the others + noise."""
    num_old = lm.get_input_embeddings().weight.size(0)
    if len(tokenizer) > num_old:
        lm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if not new_ids:
        return
    weights = [lm.get_input_embeddings().weight]
    output = lm.get_output_embeddings()
    if output is not None and output.weight.data_ptr() != weights[0].data_ptr():
        weights.append(output.weight)
    old_ids = [index for index in range(min(num_old, len(tokenizer))) if index not in set(new_ids)]
    for weight in weights:
        mean = weight[old_ids].mean(dim=0)
        weight[new_ids] = mean + NEW_EMBEDDING_NOISE * torch.randn_like(weight[new_ids])


def _own_vocabulary(name: str) -> dict[str, int]:
    """Token -> id of the tokenizer that comes with a pretrained model; empty without one."""
    try:
        return pretrained_tokenizer(name, "model.path_or_name").get_vocab()
    except ConfigError:
        return {}


def _lm_config(config: ModelConfig, arguments: dict[str, Any]) -> Any:
    settings = {**config.gpt2_config_kwargs, **config.config_kwargs}
    if config.path_or_name is not None:
        lm_config = read_pretrained(AutoConfig.from_pretrained, config.path_or_name, "model.path_or_name", **arguments)
    elif config.model_type not in CONFIG_MAPPING:
        raise ConfigError(
            f"model.model_type '{config.model_type}'. {did_you_mean(str(config.model_type), CONFIG_MAPPING)}"
        )
    else:
        lm_config = AutoConfig.for_model(config.model_type)
    known = set(lm_config.to_dict()) | set(lm_config.attribute_map)
    for key in settings:
        if key not in known:
            raise ConfigError(
                f"model.config_kwargs.{key} is no setting of {lm_config.model_type}. {did_you_mean(key, known)}"
            )
    if config.path_or_name is None:
        # built anew: what it works out from other settings (width of a head, kind of each layer) must follow these
        return AutoConfig.for_model(config.model_type, **settings)
    for key, value in settings.items():
        setattr(lm_config, key, value)
    return lm_config
