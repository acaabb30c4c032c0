"""The exported model: a folder that plain `transformers` loads, with the method's prefix and bans built in."""

import io
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel

from phf.errors import OutputError
from phf.feedback import Prompting, prefix_token_ids
from phf.models.exporting.exported_tokenizer import save_tokenizer
from phf.models.value_head import ValueHead
from phf.models.vocabulary import end_ids
from phf.storage.file_list import write_file_list
from phf.storage.files import apply_umask
from phf.storage.saving import os_errors
from phf.tokens.document_start import document_start

CERTAIN = 10_000.0
"""Added to a logit, it makes a token certain, or, subtracted, impossible, and fits half precision."""


def export_model(
    lm: PreTrainedModel, tokenizer: Any, folder: Path, prompting: Prompting, value_head: ValueHead | None = None
) -> None:
    """Write `folder` atomically, in place of one that is there; see `write_model`.

    Only for one process at a time: `new_folder` is for folders that several may want.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with _writing_model(folder):
            partial.mkdir(parents=True)
        write_model(lm, tokenizer, partial, prompting, value_head, folder)
        with _writing_model(folder):
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_model(
    lm: PreTrainedModel,
    tokenizer: Any,
    folder: Path,
    prompting: Prompting,
    value_head: ValueHead | None = None,
    named: Path | None = None,
) -> None:
    """Write a model into `folder`; its tokenizer, read back with plain transformers, must behave as described here.

    The tokenizer puts the document start (EOS, or the BOS of a pretrained model) and the control tokens that `prompting`
    starts with in front of every prompt and every conversation; `generate()` without a prompt starts the same way; the
    generation config bans what `prompting` bans, which is saved too. The value head goes into `value_head.pt` next to the
    weights. `named`: the folder that messages name, if `folder` is only going to be it. Raises `OutputError` if the model
    cannot be written, or not in a form that behaves this way.
    """
    with _writing_model(named or folder):
        lm.generation_config = generation_config(tokenizer, prompting, end_ids(lm, tokenizer))
        with os_errors(folder):
            lm.save_pretrained(folder)
            save_tokenizer(tokenizer, prompting, folder)
        apply_umask(folder)
        if value_head is not None:
            weights = io.BytesIO()  # on a full disk, torch.save raises errors other than OSError
            torch.save(value_head.state_dict(), weights)
            (folder / "value_head.pt").write_bytes(weights.getvalue())
        prompting.save(folder, tokenizer.convert_ids_to_tokens(document_start(tokenizer)))
        write_file_list(folder, [path for path in sorted(folder.iterdir()) if _is_silent(path)])


@contextmanager
def _writing_model(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"The model cannot be written to {folder}: {reason}. Make room or choose another one."
        ) from error


def _is_silent(path: Path) -> bool:
    """Whether damage to the file would give another model without an error. Others are small, and a person may edit them."""
    return path.suffix in (".safetensors", ".pt") or path.name == "tokenizer.json"


def generation_config(tokenizer: Any, prompting: Prompting, ends: list[int]) -> GenerationConfig:
    """Sampling by default, from the document start (+ the prefix) to one of `ends`, never banned control tokens."""
    config = GenerationConfig(
        bos_token_id=document_start(tokenizer)[0],
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        top_k=0,
    )
    prefix = prefix_token_ids(tokenizer, prompting.prefix) if prompting.prefix else []
    banned = prompting.banned_ids(tokenizer, prompting.prefix)
    config.suppress_tokens = [i for i in banned if i not in prefix] or None
    if prefix:
        config.forced_bos_token_id = prefix[0]  # the second token, if no input was given
        if prefix[0] in banned:
            config.bad_words_ids = [[prefix[0]]]  # unlike suppress_tokens, this yields to the forced token
    if len(prefix) > 1:
        config.sequence_bias = _following(prefix, banned)
    return config


def _following(prefix: Sequence[int], banned: Collection[int]) -> list[list[Any]]:
    """Biases of logits that make each of several control tokens certain after the one before it, as `forced_bos_token_id`
    does with the first, and impossible elsewhere, where it is `banned`."""
    pairs = [[[before, token], 2 * CERTAIN] for before, token in pairwise(prefix)]
    return [[[token], -CERTAIN] for token in prefix[1:] if token in banned] + pairs
