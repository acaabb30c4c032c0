"""DetoxifyToxicityScorer against `Detoxify.predict` in batches in arrival order: same scores, how much faster.

The model is bert-base, the architecture of Detoxify's `original`, with random weights in a checkpoint of Detoxify's
own format, so nothing is downloaded. Texts are sentences of the docstrings of the running interpreter's standard
library, in random order: the mix of lengths that a corpus has. The tokenizer is a WordPiece vocabulary trained on them.
Needs the extra `toxicity`.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from docstrings import docstrings
from machine import describe_machine
from phf.corpus.segmenting.segment import sentences
from phf.scorers.transformer.detoxify import DetoxifyToxicityScorer
from phf.storage.pretrained import without_progress_bar

CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


def make_checkpoint(folder: Path, texts: list[str]) -> Path:
    """Write base model configuration, tokenizer and random weights, the Hub's way and as the checkpoint, to `folder`."""
    torch.manual_seed(0)
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(texts, vocab_size=30_522, show_progress=False)
    trainer.save_model(str(folder))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    config = BertConfig(num_labels=len(CLASSES))
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=1.0)  # as trained: scores that differ
    with without_progress_bar():
        model.save_pretrained(folder)
    arch = {
        "model_type": str(folder),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(CLASSES),
    }
    checkpoint = {"config": {"arch": {"args": arch}, "dataset": {"args": {"classes": CLASSES}}}}
    torch.save({**checkpoint, "state_dict": model.state_dict()}, folder / "random.ckpt")
    return folder / "random.ckpt"


def in_arrival_order(detoxify: object, texts: list[str], batch_size: int) -> list[float]:
    """The library used directly."""
    scores: list[float] = []
    for start in range(0, len(texts), batch_size):
        scores += detoxify.predict(texts[start : start + batch_size])["toxicity"]
    return scores


def main() -> None:
    from detoxify import Detoxify

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32, help="of Detoxify.predict")
    parser.add_argument("--batch-tokens", type=int, help="of the scorer; default: its own")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    corpus = [sentence for of_module in docstrings() for text in of_module for sentence in sentences(text)]
    texts = random.Random(0).sample(corpus, arguments.sentences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = make_checkpoint(folder, corpus)
        detoxify = Detoxify(checkpoint=str(checkpoint), huggingface_config_path=name, device=arguments.device)
        scorer = DetoxifyToxicityScorer(
            checkpoint=str(checkpoint),
            huggingface_config_path=name,
            device=arguments.device,
            batch_tokens=arguments.batch_tokens,
        )
        lengths = sorted(map(len, detoxify.tokenizer(texts)["input_ids"]))
        runs: dict[str, Callable[[], list]] = {
            "Detoxify.predict": lambda: in_arrival_order(detoxify, texts, arguments.batch_size),
            "DetoxifyToxicityScorer": lambda: scorer.score_texts(texts),
        }
        scores = {name: run() for name, run in runs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    plain, ours = scores.values()
    difference = max(abs(a - b) for a, b in zip(plain, ours, strict=True))
    if arguments.device == "cpu":
        assert difference < 1e-5, f"scores differ by {difference}"
    console.print(
        f"bert-base, {len(texts)} sentences of {lengths[0]} to {lengths[-1]} tokens (median {lengths[len(lengths) // 2]}); "
        f"scores {min(plain):.3f} to {max(plain):.3f}, largest difference {difference:.1e}"
    )
    table = Table("scorer", "sentences/s", "speed")
    for name in runs:
        ratio = statistics.median(a / b for a, b in zip(seconds["Detoxify.predict"], seconds[name], strict=True))
        table.add_row(name, f"{len(texts) / statistics.median(seconds[name]):,.1f}", f"{ratio:.2f}x")
    table.caption = (
        f"medians of {arguments.rounds} alternating rounds, {arguments.device}; the first in batches of "
        f"{arguments.batch_size} in arrival order"
    )
    console.print(table)


if __name__ == "__main__":
    main()
