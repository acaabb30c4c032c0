"""A classification head and the whole base model trained on labels, with plain transformers.

The model's only output is a misalignment score: higher is worse. Pairs: the loss is that of Bradley and Terry (1952, Biometrika
39, 324-345), -log sigmoid(output of the rejected text - output of the chosen one), and a small penalty keeps the outputs
centred on 0, which the differences leave open (Eisenstein et al. 2023, arXiv 2312.09244). Ratings: cross-entropy between
sigmoid(output) and the rating as a share of its scale, so that sigmoid(output) estimates the mean rating.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from transformers import AutoModelForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

from phf.errors import ConfigError, DivergedError
from phf.evaluation.seeding import seeded
from phf.labels.label import Label, Rating
from phf.reward.settings import RewardSettings
from phf.scorers.transformer.sequence_classifier import longest_input, looks_at_the_end, padded
from phf.storage.files import apply_umask, writing
from phf.storage.pretrained import load_model, without_progress_bar, without_warnings
from phf.storage.reading import without_surrogates
from phf.storage.saving import os_errors

CENTRING = 0.01
"""Weight of the squared sum of a pair's outputs in its loss."""
WARMUP_RATIO = 0.06
WEIGHT_DECAY = 0.01
MAX_LENGTH = 512
OUTPUT = "misaligned"
"""Name of the model's output."""
KEY = "--base"


class RewardTrainer(Trainer):
    """Trainer with the loss of ratings (`targets` in the inputs) or pairs (chosen and rejected texts alternate)."""

    loss_is_scaled_for_ga = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean over the labels of a batch; see the module."""
        targets = inputs.pop("targets", None)
        outputs = model(**inputs)
        logits = outputs.logits.float().squeeze(-1)
        loss = pair_loss(*logits.view(-1, 2).unbind(-1)) if targets is None else rating_loss(logits, targets)
        return (loss, outputs) if return_outputs else loss


def pair_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Mean loss of pairs by the outputs of their texts, each [pairs]; the output of a worse text is higher."""
    return (CENTRING * (chosen + rejected).square() - logsigmoid(rejected - chosen)).mean()


def rating_loss(outputs: torch.Tensor, badness: torch.Tensor) -> torch.Tensor:
    """Mean loss of ratings by the outputs of their texts and what they say, in [0, 1]; each [ratings]."""
    return binary_cross_entropy_with_logits(outputs, badness)


def fit(base: Path, tokenizer: Any, labels: Sequence[Label], settings: RewardSettings, folder: Path) -> int:
    """Train on `labels` and save model and tokenizer in `folder`; returns how many of their texts were cut.

    The same labels, settings and machine give the same weights. Raises `ConfigError` for a base without a sequence classifier,
    `DivergedError` where weights or losses are not finite.
    """
    with seeded(settings.seed), tempfile.TemporaryDirectory() as scratch, without_progress_bar():
        model = load_base(base, tokenizer)
        max_length = length_limit(model, tokenizer, settings)
        encoded, num_cut = encode(tokenizer, labels, max_length)
        trainer = RewardTrainer(
            model=model,
            args=_arguments(settings, scratch),
            train_dataset=encoded,
            data_collator=_Collator(model),
        )
        trainer.remove_callback(PrinterCallback)
        loss = trainer.train().training_loss
        if not math.isfinite(loss) or not all(bool(p.isfinite().all()) for p in model.parameters()):
            raise DivergedError("The reward model's loss or weights are not finite: lower --learning-rate.")
        with writing(folder), os_errors(folder):
            model.save_pretrained(folder)
            apply_umask(folder)
            tokenizer.save_pretrained(folder)
    return num_cut


def load_base(base: Path, tokenizer: Any) -> Any:
    """The base model with a new head of one output, in float32, with a padding token."""
    with without_warnings():  # a new head is expected here
        model = load_model(
            AutoModelForSequenceClassification,
            str(base),
            KEY,
            has_new_head=True,
            num_labels=1,
            id2label={0: OUTPUT},
            label2id={OUTPUT: 0},
            problem_type="regression",
            dtype=torch.float32,
        )
    config = model.config.get_text_config()
    own = getattr(config, "pad_token_id", None)
    if own is None or own < 0:
        tokens = [token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None]
        if not tokens:
            raise ConfigError(f"{KEY}: '{base}' has neither a padding nor an EOS token. Choose another base model.")
        config.pad_token_id = model.config.pad_token_id = tokens[0]
    return model


def length_limit(model: Any, tokenizer: Any, settings: RewardSettings) -> int:
    """Tokens of a text that are read. Raises `ConfigError` for more than the model takes."""
    limit = longest_input(model, tokenizer)
    if settings.max_length is not None and settings.max_length > limit:
        raise ConfigError(f"--max-length {settings.max_length}: the base model takes {limit} tokens.")
    return settings.max_length or min(limit, MAX_LENGTH)


def encode(tokenizer: Any, labels: Sequence[Label], max_length: int) -> tuple[list[dict[str, Any]], int]:
    """(the ids of the texts of each label, and of a rating its target; how many texts were cut).

    A long text loses its start, because what distinguishes two texts with a common prompt is at their end.
    """
    texts = [without_surrogates(text) for label in labels for text in label.texts]
    full = tokenizer(texts, return_attention_mask=False, return_token_type_ids=False)["input_ids"]
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
    rows = tokenizer(
        texts, truncation=True, max_length=max_length, return_attention_mask=False, return_token_type_ids=False
    )["input_ids"]
    tokenizer.truncation_side = side
    remaining = iter(rows)
    encoded = []
    for label in labels:
        example: dict[str, Any] = {"rows": [next(remaining) for _ in label.texts]}
        if not all(example["rows"]):
            raise ConfigError(f"{KEY}: the tokenizer finds no token in the text {label.texts[0][:80]!r}.")
        if isinstance(label, Rating):
            example["target"] = label.badness
        encoded.append(example)
    return encoded, sum(len(row) > max_length for row in full)


class _Collator:
    """Examples -> the inputs of the model: their texts one after the other, and the targets of ratings."""

    def __init__(self, model: Any) -> None:
        self._pad_id = model.config.get_text_config().pad_token_id
        self._on_left = looks_at_the_end(model)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [row for example in examples for row in example["rows"]]
        inputs = padded({"input_ids": rows}, list(range(len(rows))), self._pad_id, self._on_left)
        if "target" in examples[0]:
            inputs["targets"] = torch.tensor([example["target"] for example in examples], dtype=torch.float32)
        return inputs


def _arguments(settings: RewardSettings, scratch: str) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=scratch,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        warmup_steps=WARMUP_RATIO,  # below 1: a share of all steps
        weight_decay=WEIGHT_DECAY,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        seed=settings.seed,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # torch's DataParallel would use all of them, and multiply the batch
    return arguments
