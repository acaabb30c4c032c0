"""Characters a second and core of every scorer on this machine, and what corpora of a given size would cost: Markdown.

    python benchmarks/rates.py [--seconds 10] [--chars-per-token 4] [--only PEP8Scorer ...]

Each scorer scores segments of its own kind, in batches as `phf annotate` gives them: lines of standard-library modules
for the scorers of code, sentences of their docstrings for the others, in random order. It does so for at least so many
processor seconds, in one process and, where it has threads, with one thread; processes that it starts count too.
Detoxify and ClassifierScorer's kind run with a random checkpoint of the real architecture (bert-base), which costs the
same. "the runner" is everything that `phf annotate` does beside scoring: its seconds come on top of each scorer's.
Scorers whose extra is not installed are left out, and named.
"""

import argparse
import itertools
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from annotate import annotate_for_free, write_corpus
from docstrings import docstrings
from machine import describe_machine
from phf.data.dataset import group_by_chars
from phf.data.segment import segment
from phf.data.sources import read_documents
from phf.errors import MissingExtraError
from phf.scorers import Scorer, build_scorer
from toxicity import make_checkpoint

TOKENS = {"3.3B": 3.3e9, "300B": 300e9, "15T": 15e12}
CODE_SCORERS = ("PEP8Scorer", "RuffScorer")
PROSE_SCORERS = ("PIIScorer", "PresidioScorer", "ProfanityScorer", "DetoxifyToxicityScorer")
BATCH_CHARS = 200_000
MODEL_BATCH_CHARS = 20_000
"""Scorers with a model take seconds for that."""
RUNNER_MEGABYTES = 10


def processor_seconds() -> float:
    """Of this process and of those it has started and waited for."""
    return sum(os.times()[:4])


def rate(scorer: Scorer, texts: list[str], seconds: float) -> float:
    """Characters scored per processor second."""
    batch_chars = MODEL_BATCH_CHARS if getattr(scorer, "device", None) else BATCH_CHARS
    documents = (segment(text, scorer.segmenter) for text in itertools.cycle(texts))
    scorer.score_documents([next(documents)])  # whatever is loaded or built first
    num_chars, spent = 0, 0.0
    for batch in group_by_chars(documents, lambda segments: sum(map(len, segments)), batch_chars):
        start = processor_seconds()
        scorer.score_documents(batch)
        spent += processor_seconds() - start
        num_chars += sum(len(text) for segments in batch for text in segments)
        if spent >= seconds:
            return num_chars / spent
    raise AssertionError("the texts go round for ever")


def runner_rate(folder: Path) -> float:
    """Characters annotated per processor second by a scorer that costs nothing, from and to files."""
    write_corpus(folder / "corpus.jsonl.gz", RUNNER_MEGABYTES)
    num_chars = sum(len(document.text) for document in read_documents(str(folder / "corpus.jsonl.gz")))
    annotate_for_free(str(folder / "corpus.jsonl.gz"), str(folder / "warm"))
    start = processor_seconds()
    annotate_for_free(str(folder / "corpus.jsonl.gz"), str(folder / "out"))
    return num_chars / (processor_seconds() - start)


def row(name: str, segments: str, found: float, chars_per_token: float) -> str:
    hours = (tokens * chars_per_token / found / 3600 for tokens in TOKENS.values())
    numbers = " | ".join(f"{h:,.2g}" if h < 10 else f"{h:,.0f}" for h in hours)
    return f"| {name} | {segments} | {found:,.0f} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--chars-per-token", type=float, default=4)
    parser.add_argument("--only", nargs="*", choices=[*CODE_SCORERS, *PROSE_SCORERS], help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    rng = random.Random(0)
    code = [document.text for document in read_documents("python-stdlib") if document.text]
    prose = [text for module in docstrings() for text in module if text]
    rng.shuffle(code)
    rng.shuffle(prose)
    chars = arguments.chars_per_token
    print(f"{describe_machine()}\n")
    print(f"| scorer | segments | characters a second and core | {' | '.join(f'{size} tokens' for size in TOKENS)} |")
    print(f"|---|---|---|{'---|' * len(TOKENS)}")
    rates: dict[str, float] = {}
    missing = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or (*CODE_SCORERS, *PROSE_SCORERS):
            config: dict[str, Any] = {"class_name": name}
            if name == "DetoxifyToxicityScorer":
                config |= {"checkpoint": str(make_checkpoint(Path(folder), prose)), "device": "cpu"}
                config["huggingface_config_path"] = folder
            try:
                scorer = build_scorer(config)
            except MissingExtraError as error:
                missing.append(str(error))
                continue
            rates[name] = rate(scorer, code if name in CODE_SCORERS else prose, arguments.seconds)
            print(row(name, scorer.segmenter, rates[name], chars), flush=True)
        print(row("the runner", "lines", runner_rate(Path(folder)), chars))
    print(f"\nIn the last {len(TOKENS)} columns: core-hours = tokens x {chars:g} characters a token / rate / 3600.")
    if rates:
        name, found = next(iter(rates.items()))
        size, tokens = next(iter(TOKENS.items()))
        print(
            f"{name}, {size} tokens: {tokens:,.0f} x {chars:g} = {tokens * chars:,.0f} characters; / {found:,.0f} / 3600 = "
            f"{tokens * chars / found / 3600:,.2g} core-hours. Divide by the cores for the hours of the clock."
        )
    for message in missing:
        print(message)
    print(f"Measured in {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
