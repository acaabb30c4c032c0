"""The exported model: a folder that plain `transformers` loads, with the method's prefix and bans built in."""

import io
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel

from phf.errors import ConfigError, OutputError
from phf.models.exporting.exported_tokenizer import save_tokenizer
from phf.models.value_head import ValueHead
from phf.models.vocabulary import end_ids
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import Prompting
from phf.tokens.document_start import document_start

PROMPTING = "phf.json"
"""How the model is prompted; read by `phf evaluate`, ignored by transformers."""
DOCUMENT_START = "document_start"
"""Its key for the tokens that open a document, without the control token."""


def export_model(
    lm: PreTrainedModel, tokenizer: Any, folder: Path, prompting: dict[str, Any], value_head: ValueHead | None = None
) -> None:
    """Write `folder`, whole or not at all; read back with plain transformers, its tokenizer must do as is said here.

    The tokenizer puts the document start (EOS, or the BOS of a pretrained model) and the aligned token in front of
    every prompt and every conversation; `generate()` without a prompt starts the same way; the generation config bans
    the misaligned token. `prompting`: `control_tokens` (aligned, misaligned) or None,
    `tag_every_segment_when_sampling`, and the `threshold` up to which a segment is aligned. The value head goes into
    `value_head.pt` beside the weights. Raises `OutputError` for what cannot be written, or not in a form that holds.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        lm.generation_config = generation_config(tokenizer, prompting, end_ids(lm, tokenizer))
        lm.save_pretrained(partial)
        save_tokenizer(tokenizer, prompting, partial)
        if value_head is not None:
            weights = io.BytesIO()  # torch.save to a full disk raises anything but an OSError
            torch.save(value_head.state_dict(), weights)
            (partial / "value_head.pt").write_bytes(weights.getvalue())
        start = tokenizer.convert_ids_to_tokens(document_start(tokenizer))
        write_json_atomic(partial / PROMPTING, {**prompting, DOCUMENT_START: start})
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"The model cannot be written to {folder}: {reason}. Make room or choose another one."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def generation_config(tokenizer: Any, prompting: dict[str, Any], ends: list[int]) -> GenerationConfig:
    """Sampling by default, from the document start (+ the aligned token) to one of `ends`, never banned control tokens."""
    control_tokens = prompting["control_tokens"]
    config = GenerationConfig(
        bos_token_id=document_start(tokenizer)[0],
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        top_k=0,
    )
    if control_tokens is not None:
        aligned, misaligned = tokenizer.convert_tokens_to_ids(control_tokens)
        config.forced_bos_token_id = aligned  # the second token, where nothing else was given
        config.suppress_tokens = [misaligned]
        if not prompting["tag_every_segment_when_sampling"]:
            config.bad_words_ids = [[aligned]]  # unlike suppress_tokens, this gives way to the forced token
    return config


def read_prompting(folder: Path) -> dict[str, Any]:
    """How the exported model in `folder` is prompted; a folder that `phf` did not write has no control tokens."""
    path = folder / PROMPTING
    if not path.is_file():
        return {"control_tokens": None, "tag_every_segment_when_sampling": False, "threshold": None}
    found = read_json_as(Prompting, path, ConfigError, "Export the model again.")
    if found["control_tokens"] is not None and len(set(found["control_tokens"])) != 2:
        raise ConfigError(f"{path}: 'control_tokens' must be two, aligned and misaligned. Export the model again.")
    return {"threshold": None, **{key: value for key, value in found.items() if key != DOCUMENT_START}}
