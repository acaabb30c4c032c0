"""Configurations, tokenizers and models small enough for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from phf.config import Config, ModelConfig, load_config
from phf.feedback import ControlTokens, Prompting
from phf.models import load_lm
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer


def tiny_config(source: str, method: str | None = "mle", **changes: object) -> Config:
    """The quickstart task shrunk: 2 layers of width 32, blocks of 64 tokens, 6 steps of 4 blocks."""
    overrides = {
        "dataset.datasets": [source],
        "dataset.seq_length": 64,
        "dataset.eval_fraction": 0.2,
        "dataset.max_eval_tokens": 1280,
        "tokenizer.train_from_corpus": 300,
        "model.config_kwargs.n_layer": 2,
        "model.config_kwargs.n_embd": 32,
        "model.config_kwargs.n_head": 2,
        "model.config_kwargs.n_positions": 64,
        "training.effective_batch_size": 4,
        "training.per_device_train_batch_size": 2,
        "training.num_tokens": 6 * 4 * 64,
        "training.logging_steps": 1,
        "training.save_steps": 2,
        "generation.scenario_configs.0.name": "unconditional",
        "generation.scenario_configs.0.prompts_path": None,
        "generation.scenario_configs.0.use_prompt_for_scoring": False,
        "generation.scenario_configs.0.num_samples": 5,
        "generation.scenario_configs.0.generate_kwargs.max_length": 24,
        **changes,
    }
    written = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...')}"
        for key, value in overrides.items()
    ]
    return load_config(task="pep8/quickstart", method=method, overrides=written)[0]


PLAIN = Prompting()
"""How a model without control tokens is prompted."""


def conditional_prompting(*names: str, tags_every_segment: bool = False, threshold: float | None = None) -> Prompting:
    """How a model with control tokens is prompted, by default the released two."""
    tokens = ControlTokens(names or ("<|aligned|>", "<|misaligned|>"))
    return Prompting(control_tokens=tokens, tags_every_segment=tags_every_segment, threshold=threshold)


def tiny_tokenizer(control_tokens: Sequence[str] | None = None, vocab_size: int = 300) -> Any:
    """A byte-level BPE of some Python; EOS is id 0, control tokens come last."""
    return prepare_tokenizer(train_tokenizer(["def f(x):\n    return x\n"] * 3, vocab_size), control_tokens)


TINY_MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 64},
    "llama": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32},
    "gemma2": {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "num_hidden_layers": 2,
        "intermediate_size": 32,
    },
}


def tiny_lm(model_type: str, tokenizer: Any, seed: int = 0, **settings: Any) -> Any:
    """A random model of this architecture with room for every token of `tokenizer`."""
    config = ModelConfig(model_type=model_type, config_kwargs={**TINY_MODELS[model_type], **settings})
    return load_lm(config, tokenizer, 32, seed, ControlTokens(tuple(tokenizer.extra_special_tokens)))


def tiny_reference(folder: Path) -> str:
    """A folder with a random model and its tokenizer, whose samples are text: it draws no bytes above ASCII."""
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer, seed=1)
    with torch.no_grad():
        is_ascii = torch.tensor([tokenizer.decode([i]).isascii() for i in range(lm.config.vocab_size)])
        lm.transformer.wte.weight[:, 0] = torch.where(is_ascii, 0.0, -40.0)
        lm.transformer.ln_f.weight[0], lm.transformer.ln_f.bias[0] = 0.0, 1.0
    for part in (lm, tokenizer):
        part.save_pretrained(folder)
    return str(folder)


def tiny_corpus(folder: Path) -> str:
    """Sixty files of Python with clean lines and violations; returns the folder as a source."""
    for i in range(60):
        text = f"import os\n\n\ndef size{i}(path):\n    return os.stat(path).st_size\n\n\nx=1\n"
        (folder / f"{i:02d}.py").write_text(text * 4)
    return str(folder)


def losses(run_dir: Path) -> list[float]:
    """The training losses in the log of a run."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line["train/loss"] for line in lines if "train/loss" in line]
