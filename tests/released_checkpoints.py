"""Small checkpoints of exactly the layout of the released ones (transformers 4.23, `GPT2LMAndValueHeadModel`)."""

import json
from pathlib import Path
from typing import Any

import torch
from tests.tiny import tiny_lm, tiny_tokenizer

CONTROL = ("<|aligned|>", "<|misaligned|>")
CONTEXT, WIDTH = 64, 16


def released_checkpoint(folder: Path, *, conditional: bool = True, head: bool = True) -> Any:
    """Write the checkpoint; returns the language model that is in it. Its weights are those of a seed."""
    folder.mkdir(parents=True)
    tokenizer = tiny_tokenizer(CONTROL if conditional else None)
    lm = tiny_lm("gpt2", tokenizer)
    config = lm.config.to_dict()
    for key in ("dtype", "tie_word_embeddings", "add_cross_attention", "reorder_and_upcast_attn"):
        config.pop(key, None)
    config |= {
        "architectures": ["GPT2LMAndValueHeadModel"],
        "_name_or_path": "gpt2",
        "reorder_and_upcast_attn": True,
        "scale_attn_by": True,
        "torch_dtype": "float32",
        "transformers_version": "4.23.1",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_weights(folder, released_weights(lm, head=head))
    _write_tokenizer(folder, tokenizer, conditional)
    return lm


def released_weights(lm: Any, *, head: bool = True) -> dict[str, torch.Tensor]:
    """The tensors of pytorch_model.bin: those of GPT-2, its buffers of that time, and the value head."""
    weights = {key: value.clone() for key, value in lm.state_dict().items()}
    mask = torch.tril(torch.ones(CONTEXT, CONTEXT, dtype=torch.uint8)).view(1, 1, CONTEXT, CONTEXT)
    for layer in range(lm.config.n_layer):
        weights[f"transformer.h.{layer}.attn.bias"] = mask.clone()
        weights[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    if head:
        weights["value_head.head.weight"] = torch.linspace(-2, 2, WIDTH).reshape(1, WIDTH)
    return weights


def write_weights(folder: Path, weights: dict[str, Any]) -> None:
    """pytorch_model.bin with these tensors, or whatever is given as such."""
    torch.save(weights, folder / "pytorch_model.bin")


def _write_tokenizer(folder: Path, tokenizer: Any, conditional: bool) -> None:
    """vocab.json, merges.txt and the three files of settings, without a tokenizer.json."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    special: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    settings = {**special, "add_prefix_space": False, "model_max_length": 1024, "tokenizer_class": "GPT2Tokenizer"}
    if conditional:
        special["additional_special_tokens"] = list(CONTROL)
        ids = dict(zip(CONTROL, tokenizer.convert_tokens_to_ids(list(CONTROL)), strict=True))
        (folder / "added_tokens.json").write_text(json.dumps(ids))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "name_or_path": "gpt2"}))
