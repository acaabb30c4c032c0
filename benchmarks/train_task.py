"""What the contenders of `train.py` train on: random text, a tokenizer of any size, and `phf`'s configuration.

A token is a character, so text of random characters has as many tokens as characters, of any vocabulary.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SEGMENT_TOKENS = (10, 60)
DOCUMENT_SEGMENTS = (4, 24)
ALPHABET = [*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xAC00, 0xD7A4), *range(0x20000, 0x2A6E0)]
"""Chinese characters and Korean syllables: 82,000 that no tokenizer changes or splits."""
EOS = "<|endoftext|>"
METHODS = ("mle", "conditional", "ul", "awr", "rwr")
SECTIONS: dict[str, dict[str, Any]] = {
    "two-preferences": {
        "conditioning": {
            "preferences": [
                {"name": "first", "thresholds": ["p50"]},
                {"name": "second", "scores_column": "second_scores", "thresholds": ["p50"]},
            ],
            "drop_token_fraction": 0.01,
        }
    },
    **{
        placement.replace("_", "-"): {
            "conditional_training_config": {"threshold": "p50", "drop_token_fraction": 0.01, "placement": placement}
        }
        for placement in ("on_change", "before_document")
    },
}
"""`dataset` sections of the methods that are not shipped as a file."""
BEYOND = ("quantiles", "masking", "hiding", *SECTIONS)
"""What came after the paper, as far as it changes a step: schedules choose between these."""


@dataclass(frozen=True)
class Shape:
    """Model and batch, the same for every contender."""

    num_layers: int
    width: int
    num_heads: int
    vocabulary: int
    batch_size: int
    seq_length: int
    dropout: float

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.seq_length

    @property
    def gpt2(self) -> dict[str, Any]:
        """Keys of `GPT2Config`, besides the vocabulary."""
        names = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
        size = {"n_layer": self.num_layers, "n_embd": self.width, "n_head": self.num_heads}
        return {**size, "n_positions": self.seq_length, **dict.fromkeys(names, self.dropout)}


TRAINING = {"learning_rate": 1e-4, "lr_scheduler_type": "constant", "weight_decay": 0.1, "logging_steps": 10}
"""`TrainingArguments` that all contenders share."""


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    ids = {EOS: 0} | {chr(code): i for i, code in enumerate(ALPHABET[: vocabulary - 1], 1)}
    backend = Tokenizer(models.BPE(vocab=ids, merges=[]))
    backend.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, pad_token=EOS).save_pretrained(folder)


def write_corpus(path: Path, vocabulary: int, num_tokens: int) -> None:
    """Scored documents as JSON Lines."""
    rng, generator = random.Random(0), np.random.default_rng(0)
    alphabet = np.array([chr(code) for code in ALPHABET[: vocabulary - 1]])
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < num_tokens:
            lengths = [rng.randint(*SEGMENT_TOKENS) for _ in range(rng.randint(*DOCUMENT_SEGMENTS))]
            texts = ["".join(generator.choice(alphabet, length)) for length in lengths]
            scores, second = generator.random((2, len(texts))).tolist()
            file.write(json.dumps({"texts": texts, "scores": scores, "second_scores": second}) + "\n")
            written += sum(lengths) + 1


def write_task(work: Path, shape: Shape) -> Path:
    """The task file; methods are those that ship with `phf`."""
    task = {
        "dataset": {"datasets": [str(work / "corpus.jsonl")], "seq_length": shape.seq_length},
        "tokenizer": {"path_or_name": str(work / "tokenizer")},
        "model": {"model_type": "gpt2", "from_scratch": True, "config_kwargs": shape.gpt2},
        "training": {
            **TRAINING,
            "effective_batch_size": shape.batch_size,
            "per_device_train_batch_size": shape.batch_size,
            "num_tokens": float(10**6 * shape.tokens_per_step),
            "save_strategy": "no",
        },
        "generation": {
            "scorer_config": {"class_name": "PEP8Scorer"},
            "run_on_train_start": False,
            "run_on_train_end": False,
        },
    }
    path = work / "task.yml"
    path.write_text(yaml.safe_dump(task), encoding="utf-8")
    for name, section in SECTIONS.items():
        (work / f"{name}.yml").write_text(yaml.safe_dump({"dataset": section}), encoding="utf-8")
    return path


def named_method(work: Path, name: str) -> str:
    """The name or file that `--method` takes."""
    return str(work / f"{name}.yml") if name in SECTIONS else name


def prepare(work: Path, shape: Shape, num_tokens: int, methods: Sequence[str]) -> None:
    """Everything that contenders read, so that none of them scores or encodes: `task.yml`, `blocks.npy`, `documents.jsonl`.

    `blocks.npy` has the very blocks that `phf` trains MLE on, in the order of the corpus.
    """
    from phf.config import load_config
    from phf.training.data import prepare_data, resolve_percentiles

    write_tokenizer(work / "tokenizer", shape.vocabulary)
    write_corpus(work / "corpus.jsonl", shape.vocabulary, num_tokens)
    task = write_task(work, shape)
    for method in dict.fromkeys(("mle", *methods)):
        config, _ = load_config(task=str(task), method=named_method(work, method))
        config, _ = resolve_percentiles(config, lambda message: None)
        blocks = prepare_data(config, lambda message: None).train
        if method == "mle":
            np.save(work / "blocks.npy", np.stack([blocks[i]["input_ids"] for i in range(len(blocks))]))
