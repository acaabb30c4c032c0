"""Finetuning on GLUE: the quality of a model's representations, beyond the text that it generates.

The paper (arXiv 2302.08582) finetunes for at most 6 epochs with early stopping on the dev set; it chose each task's
settings by the dev score of its MLE model and kept them for all others.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from phf.config import GlueConfig
from phf.config.differences import differences
from phf.errors import ConfigError, CorpusError
from phf.evaluation.glue.tasks import TASKS, Task, load_task, measure
from phf.evaluation.seeding import seeded
from phf.models import pretrained_tokenizer
from phf.models.context import context_of
from phf.models.model_folder import model_hashes, processes
from phf.statistics import student_interval
from phf.storage.files import write_text_atomic
from phf.storage.pretrained import load_model, without_warnings
from phf.storage.reading import read_json_lines_as
from phf.storage.shapes import GlueLine
from phf.tokens.document_start import own_prefix
from phf.tokens.tokenizer import PlainEncoder, prepare_tokenizer

WARMUP_RATIO = 0.06
WEIGHT_DECAY = 0.1
RESULTS = "glue.jsonl"
"""One line per finetuning: task, seed, dev scores after each epoch, and the metrics of the best one."""


def run_glue(model_folder: Path, section: GlueConfig, output_dir: Path) -> dict[str, float]:
    """Finetune a classification head and the whole model on each task, once per seed; the metrics of the dev set.

    `glue/<task>/<metric>` is the mean over seeds of the metric after the best epoch, `_low` and `_high` its 95% t
    interval over seeds (NaN with one seed); `score` is the mean of the task's metrics, as in GLUE's own table, by which
    the best epoch is chosen, and `glue/score` its mean over tasks. All metrics are shares or correlations, higher is
    better. Finished finetunings are in `output_dir/glue.jsonl` and not repeated.

    An example is EOS (and the best control token, as in every prompt of a conditional model) as the model's own tokenizer
    puts them, then its text; the second text of a pair begins on a new line. Under `torchrun` the processes share each
    batch.

    Raises `ConfigError` for a model without a sequence classifier and `CorpusError` for data that is not GLUE's.
    """
    files = model_hashes(model_folder)
    settings: dict[str, dict[str, Any]] = {name: {"model": files, **_settings(section, name)} for name in section.tasks}
    tokenizer = prepare_tokenizer(pretrained_tokenizer(str(model_folder), "MODEL_DIR"), None)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]  # some ignore the mask, and would read padding
    tokenizer.padding_side = "right"
    finished = _read_finished(output_dir / RESULTS, settings)
    missing = {name: [seed for seed in section.seeds if (name, seed) not in finished] for name in section.tasks}
    data = {name: load_task(name, section.data_dir) for name in section.tasks if missing[name]}
    logs: dict[str, float] = {}
    for name in section.tasks:
        for seed in missing[name]:
            result = _finetune(model_folder, tokenizer, TASKS[name], data[name], settings[name], seed)
            finished[name, seed] = {"task": name, "seed": seed, **result, "settings": settings[name]}
            if processes().is_main_process:
                lines = "".join(json.dumps(line) + "\n" for line in finished.values())
                write_text_atomic(output_dir / RESULTS, lines)
        of_seeds = [finished[name, seed] for seed in section.seeds]
        for metric in of_seeds[0]["metrics"]:
            mean, low, high = student_interval([result["metrics"][metric] for result in of_seeds])
            logs |= {
                f"glue/{name}/{metric}": mean,
                f"glue/{name}/{metric}_low": low,
                f"glue/{name}/{metric}_high": high,
            }
        logs |= {f"glue/{name}/num_samples": of_seeds[0]["num_samples"], f"glue/{name}/num_seeds": len(of_seeds)}
    logs["glue/score"] = float(np.mean([logs[f"glue/{name}/score"] for name in section.tasks]))
    return logs


def encode_examples(
    tokenizer: Any, task: Task, examples: list[dict[str, Any]], max_length: int
) -> list[dict[str, Any]]:
    """`input_ids` (prefix, text, new line and second text of a pair) and `labels` of each example."""
    encoder, prefix = PlainEncoder(tokenizer), own_prefix(tokenizer)

    def encode(texts: list[str], is_first: bool) -> list[list[int]]:
        ids, lengths = encoder.encode(texts) if is_first else encoder.encode_inside(["\n" + text for text in texts])
        return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]

    parts = [encode([e[column] for e in examples], i == 0) for i, column in enumerate(task.columns)]
    encoded = []
    for number, example in enumerate(examples):
        ids = prefix + _cut([texts[number] for texts in parts], max_length - len(prefix))
        ids = ids or [tokenizer.eos_token_id]  # an empty text of a tokenizer without prefix
        label = float(example["label"]) if task.num_labels == 1 else example["label"]
        encoded.append({"input_ids": ids, "labels": label})
    return encoded


def _cut(parts: list[list[int]], room: int) -> list[int]:
    """The parts, concatenated, in `room` tokens; the longer one of two loses its end first."""
    if len(parts) == 1:
        return parts[0][:room]
    first, second = parts
    num_second = min(len(second), max(room - len(first), room // 2))
    return first[: room - num_second] + second[:num_second]


def _settings(section: GlueConfig, name: str) -> dict[str, Any]:
    """Everything that affects the result of one task besides model and seed."""
    settings = section.model_dump(include={"data_dir", "epochs", "patience", "max_length"})
    for key in ("learning_rate", "batch_size"):
        value = getattr(section, key)
        if isinstance(value, dict) and name not in value:
            raise ConfigError(f"glue.{key} has no value for '{name}', only for {', '.join(value)}.")
        settings[key] = value[name] if isinstance(value, dict) else value
    if settings["batch_size"] % processes().num_processes:
        raise ConfigError(
            f"glue.batch_size of '{name}' is {settings['batch_size']}, which {processes().num_processes} processes "
            "cannot share."
        )
    return settings


class _BestEpoch(TrainerCallback):
    """Keeps the metrics of the best epoch and stops training after `patience` epochs without a better one.

    Nothing is saved: only the numbers of the best epoch are wanted.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epochs: list[dict[str, float]] = []

    @property
    def best(self) -> int:
        """Number of the best epoch so far, from 0."""
        return int(np.argmax([epoch["score"] for epoch in self.epochs]))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        """Called by Trainer after every epoch."""
        self.epochs.append(
            {key.removeprefix("eval_m_"): value for key, value in metrics.items() if key.startswith("eval_m_")}
        )
        control.should_training_stop |= len(self.epochs) - 1 - self.best >= self.patience


def _finetune(
    folder: Path, tokenizer: Any, task: Task, splits: dict[str, Any], settings: dict[str, Any], seed: int
) -> dict[str, Any]:
    """`metrics` after the best epoch, `epochs` (dev scores) and `num_samples` of the dev set."""
    sizes = [len(splits[split]) for split in task.dev_splits]
    callback = _BestEpoch(settings["patience"])
    # a new head is expected here
    with without_warnings(), seeded(seed), tempfile.TemporaryDirectory() as scratch:
        model = _load_classifier(folder, task, tokenizer)
        max_length = min(settings["max_length"], context_of(model.config) or settings["max_length"])
        dev = [example for split in task.dev_splits for example in splits[split]]
        use_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        arguments = TrainingArguments(
            output_dir=scratch,
            learning_rate=settings["learning_rate"],
            per_device_train_batch_size=settings["batch_size"] // processes().num_processes,
            per_device_eval_batch_size=2 * settings["batch_size"],
            num_train_epochs=settings["epochs"],
            warmup_steps=WARMUP_RATIO,  # below 1: a share of all steps
            weight_decay=WEIGHT_DECAY,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=use_bfloat16,
            seed=seed,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=encode_examples(tokenizer, task, splits["train"], max_length),
            eval_dataset=encode_examples(tokenizer, task, dev, max_length),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda prediction: _dev_metrics(task, sizes, prediction),
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return {
        "metrics": callback.epochs[callback.best],
        "epochs": [epoch["score"] for epoch in callback.epochs],
        "num_samples": sum(sizes),
    }


def _dev_metrics(task: Task, sizes: list[int], prediction: EvalPrediction) -> dict[str, float]:
    """The task's metrics of each dev split (the first by their plain names) and their mean, the score."""
    logits, labels = prediction.predictions, prediction.label_ids
    logits = logits[0] if isinstance(logits, tuple) else logits
    predictions = logits.squeeze(-1) if task.num_labels == 1 else logits.argmax(-1)
    if not np.isfinite(logits).all():
        raise ConfigError("glue: the model's outputs are not finite. Lower glue.learning_rate.")
    metrics, start = {}, 0
    for split, size in zip(task.dev_splits, sizes, strict=True):
        part = slice(start, start + size)
        for metric, value in measure(task, predictions[part], labels[part]).items():
            metrics[metric + split.removeprefix("validation")] = value
        start += size
    metrics["score"] = float(np.mean(list(metrics.values())))
    return {f"m_{key}": value for key, value in metrics.items()}


def _load_classifier(folder: Path, task: Task, tokenizer: Any) -> Any:
    model = load_model(
        AutoModelForSequenceClassification,
        str(folder),
        "glue",
        has_new_head=True,
        num_labels=task.num_labels,
        problem_type="regression" if task.num_labels == 1 else "single_label_classification",
        dtype=torch.float32,
    )
    # The head reads the last token that is not padding: right after the text, for any padding token.
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _read_finished(path: Path, settings: dict[str, dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    if not path.is_file():
        return {}
    finished = {}
    advice = "It was not written by `phf evaluate --glue`. Move it away."
    for _, result in read_json_lines_as(GlueLine, path, CorpusError, advice):
        finished[result["task"], result["seed"]] = result
    for (name, _), result in finished.items():
        if name in settings and (differing := differences(result.get("settings"), settings[name])):
            raise ConfigError(
                f"{path} holds results of '{name}' from another model or with other settings: {differing} (those results' "
                "-> this command's). Choose another folder."
            )
    return finished
