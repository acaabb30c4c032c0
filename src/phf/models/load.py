"""From the `tokenizer` and `model` sections of a configuration to a tokenizer and a causal language model."""

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, PreTrainedModel

from phf.config import ModelConfig, TokenizerConfig
from phf.errors import CheckpointError, ConfigError, OutputError
from phf.feedback import NO_CONTROL_TOKENS, ControlTokens
from phf.models.building.architecture import HUB_ARGUMENTS, KEY, Architecture, read_architecture
from phf.models.building.build import (
    build_causal_lm,
    build_lm,
    check_context,
    check_vocabulary,
    fit_special_ids,
    load_architecture,
)
from phf.models.building.causality import can_run, check_causal
from phf.models.context import text_config
from phf.models.prompting import open_as_exported
from phf.models.vocabulary import num_rows as num_rows_of_logits
from phf.storage.file_list import FILE_LIST, damaged_files, write_file_list
from phf.storage.loading_errors import UNREADABLE
from phf.storage.pretrained import load_model
from phf.storage.saved_tokenizer import read_tokenizer
from phf.storage.saving import os_errors
from phf.tokens.document_start import document_start, open_documents_with
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)

NEW_EMBEDDING_NOISE = 0.01
"""Standard deviation around the mean of the old embeddings, so that new tokens are not sampled too often at first."""


def load_tokenizer(
    config: TokenizerConfig,
    model: ModelConfig,
    corpus: Callable[[], Iterable[str]],
    control_tokens: ControlTokens = NO_CONTROL_TOKENS,
    saved: Path | None = None,
) -> Any:
    """The tokenizer named by `path_or_name`, one trained on `corpus()`, or otherwise the model's own; `control_tokens` added.

    It begins documents like the pretrained model, or with EOS for a model from scratch. `saved`: folder in which a trained
    tokenizer is kept, and from which it is read if it exists.
    """
    name, source = config.path_or_name or model.path_or_name, {}
    if config.train_from_corpus is not None:
        name, tokenizer = None, _trained(corpus, config.train_from_corpus, saved)
    else:
        if name is None:
            raise ConfigError(
                "tokenizer: set tokenizer.path_or_name, or set tokenizer.train_from_corpus to a vocabulary size."
            )
        source = {} if config.path_or_name else {k: v for k, v in model.model_kwargs.items() if k in HUB_ARGUMENTS}
        tokenizer = pretrained_tokenizer(name, "tokenizer.path_or_name", **source)
    tokenizer = prepare_tokenizer(tokenizer, control_tokens or None)
    if not model.from_scratch and name is not None:
        return open_as_exported(tokenizer, name, source.get("revision"))
    if document_start(tokenizer) != [tokenizer.eos_token_id]:
        open_documents_with(tokenizer, [tokenizer.eos_token_id])
    return tokenizer


def _trained(corpus: Callable[[], Iterable[str]], vocab_size: int, saved: Path | None) -> Any:
    if saved is not None and saved.is_dir():
        if (saved / FILE_LIST).is_file() and (damage := damaged_files(saved)):
            raise CheckpointError(
                f"{saved} is damaged: {'; '.join(damage)}. Restore it, or delete it to train it again: the same corpus gives "
                "the same tokenizer."
            )
        return pretrained_tokenizer(str(saved), "tokenizer.train_from_corpus")
    tokenizer = train_tokenizer(corpus(), vocab_size)
    if saved is not None:
        partial = saved.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with os_errors(partial):
                tokenizer.save_pretrained(partial)
            write_file_list(partial)
            partial.rename(saved)
        except OSError as error:
            raise OutputError(f"{saved} cannot be written: {error.strerror or error}. Make room.") from error
    return tokenizer


def load_lm(
    config: ModelConfig,
    tokenizer: Any,
    seq_length: int,
    seed: int,
    control_tokens: ControlTokens = NO_CONTROL_TOKENS,
) -> PreTrainedModel:
    """The causal LM: from scratch under `seed`, or pretrained; with embeddings for all of `tokenizer`.

    Embeddings of `control_tokens`, input and output, start at the mean of the others plus noise, unless a pretrained
    model already has them. Parameters are float32
    unless `model_kwargs.dtype` says otherwise. Raises `ConfigError` for a model that is not causal.
    """
    torch.manual_seed(seed)
    new_ids = control_tokens.ids(tokenizer)
    if config.from_scratch:
        architecture = fitted_architecture(config, tokenizer, control_tokens)
        check_context(architecture.config, seq_length)
        num_rows = 1 + max(tokenizer.get_vocab().values())
        if not _can_grow(architecture, num_rows):
            _set_vocab_size(architecture, num_rows)
        lm = build_causal_lm(architecture, KEY if config.path_or_name is not None else "model.model_type")
        if text_config(lm.config).pad_token_id is not None and not can_run(lm, seq_length):
            raise ConfigError(
                f"dataset.seq_length is {seq_length}, which is too much for {type(lm).__name__}: it counts positions from "
                "its padding token on. Raise model.config_kwargs.max_position_embeddings, or choose another model."
            )
        _start_padding_row(lm)
    else:
        assert config.path_or_name is not None
        architecture = read_architecture(config)
        check_context(architecture.config, seq_length)
        lm = load_architecture(config, architecture)
        check_causal(lm, KEY)
        known = _own_vocabulary(config.path_or_name, architecture.source) if new_ids else {}
        new_ids = [i for i in new_ids if tokenizer.convert_ids_to_tokens(i) not in known]
        num_rows = _rows_with_logits(lm)
        without_row = sorted(i for i in tokenizer.get_vocab().values() if i >= num_rows and i not in new_ids)
        if without_row:
            logger.warning(
                "%s: '%s' has %d rows of embeddings, so %d tokens of the tokenizer start at the mean of the others. "
                "Is it the tokenizer of this model?",
                *(KEY, config.path_or_name, num_rows, len(without_row)),
            )
            new_ids = new_ids + without_row
    add_embeddings(lm, tokenizer, new_ids)
    lm.get_input_embeddings().padding_idx = None  # it would not be trained; ours, EOS, begins each document
    return lm


def fitted_architecture(
    config: ModelConfig, tokenizer: Any, control_tokens: ControlTokens = NO_CONTROL_TOKENS
) -> Architecture:
    """The architecture of a model from scratch, with rows for `tokenizer`, except its control tokens, and its ids."""
    architecture = read_architecture(config)
    new_ids = control_tokens.ids(tokenizer)
    num_rows = check_vocabulary(config, tokenizer.get_vocab().values(), new_ids)
    if config.path_or_name is None and architecture.vocab_size is None:
        _set_vocab_size(architecture, num_rows)
    fit_special_ids(architecture.config, tokenizer.eos_token_id)
    return architecture


def pretrained_tokenizer(name: str, key: str, **settings: Any) -> Any:
    """The tokenizer in a folder or on the Hub. Raises `ConfigError` naming `key` if there is none."""
    tokenizer = read_tokenizer(name, key, **settings)
    _mark_special_tokens(tokenizer)
    return tokenizer


def _mark_special_tokens(tokenizer: Any) -> None:
    """Make the added tokens that a tokenizer lists as special ones special to its backend too, which text cannot spell.

    transformers 5 reads them as ordinary ones from the added_tokens.json of earlier versions.
    """
    listed, added = set(tokenizer.all_special_tokens), tokenizer.added_tokens_decoder.values()
    ordinary = [str(token) for token in added if not token.special and str(token) in listed]
    if ordinary and tokenizer.is_fast:
        tokenizer.backend_tokenizer.add_special_tokens(
            [AddedToken(token, special=True, normalized=False) for token in ordinary]
        )


def pretrained_lm(name: str, key: str, device: torch.device | str = "cpu", **settings: Any) -> PreTrainedModel:
    """The causal LM in a folder or on the Hub, on `device`.

    Raises `ConfigError` naming `key` if it cannot be loaded, is damaged, lacks weights, or is not causal.
    """
    lm = load_model(AutoModelForCausalLM, name, key, **settings).to(device)
    check_causal(lm, key)
    return lm


@torch.no_grad()
def add_embeddings(lm: PreTrainedModel, tokenizer: Any, new_ids: list[int]) -> None:
    """Add rows for every id of `tokenizer` and initialise the rows of `new_ids` with the mean of the others + noise.

    The bias of an output head belongs to its rows: new ones start at the mean of the old ones.
    """
    ids = set(tokenizer.get_vocab().values())
    num_old, num_rows = _rows_with_logits(lm), max(ids) + 1
    if num_rows > num_old:
        try:
            lm.resize_token_embeddings(num_rows, mean_resizing=False)
        except (AttributeError, NotImplementedError) as error:
            raise ConfigError(
                f"{type(lm).__name__} cannot be given rows for more tokens: {error}. Set model.config_kwargs.vocab_size to "
                f"{num_rows} or more."
            ) from error
    if not new_ids:
        return
    weights = [lm.get_input_embeddings().weight]
    output = lm.get_output_embeddings()
    if output is not None and output.weight.data_ptr() != weights[0].data_ptr():
        weights.append(output.weight)
    old_ids = sorted(i for i in ids - set(new_ids) if i < num_old)
    for weight in weights:
        mean = weight[old_ids].mean(dim=0)
        weight[new_ids] = mean + NEW_EMBEDDING_NOISE * torch.randn_like(weight[new_ids])
    if getattr(output, "bias", None) is not None:
        output.bias[new_ids] = output.bias[old_ids].mean()


def _rows_with_logits(lm: PreTrainedModel) -> int:
    """Tokens that the model reads and predicts: some models embed more tokens than they have logits for (Mllama: images)."""
    return min(lm.get_input_embeddings().weight.size(0), num_rows_of_logits(lm))


def _set_vocab_size(architecture: Architecture, num_rows: int) -> None:
    config = text_config(architecture.config)
    for key in ("vocab_size", "decoder_vocab_size"):  # Marian keeps two
        if getattr(config, key, None) is not None:
            setattr(config, key, num_rows)


def _can_grow(architecture: Architecture, num_rows: int) -> bool:
    """Whether this model, built small, can be resized to `num_rows` rows and then matches its configuration.

    Some models keep other tensors with a row for each token, which `resize_token_embeddings` does not resize.
    """
    with torch.device("meta"):
        lm = build_lm(architecture)
        if num_rows <= _rows_with_logits(lm):
            return True
        try:
            lm.resize_token_embeddings(num_rows, mean_resizing=False)
            described = build_lm(replace(architecture, config=lm.config))
        except UNREADABLE:
            return False
    shapes, expected = ({key: value.shape for key, value in model.state_dict().items()} for model in (lm, described))
    return shapes == expected


@torch.no_grad()
def _start_padding_row(lm: PreTrainedModel) -> None:
    """If a configuration requires a padding token, its embedding, which is left at zero, is initialised like the others."""
    embeddings = lm.get_input_embeddings()
    padding = getattr(embeddings, "padding_idx", None)
    if padding is not None and not embeddings.weight[padding].any():
        embeddings.weight[padding] = embeddings.weight.std() * torch.randn_like(embeddings.weight[padding])


def _own_vocabulary(name: str, source: dict[str, Any]) -> dict[str, int]:
    """Token -> id of the tokenizer that comes with a pretrained model; empty without one."""
    try:
        return pretrained_tokenizer(name, KEY, **source).get_vocab()
    except ConfigError:
        return {}
