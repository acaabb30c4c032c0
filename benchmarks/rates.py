"""Characters a second and core of every scorer on this machine, and what corpora of a given size would cost.

    python benchmarks/rates.py [--seconds 10] [--chars-per-token 4]

Each scorer scores its own segments (lines of standard-library modules for the code scorers, sentences of their
docstrings for the others) for at least so many seconds in one process; the rate is per processor second, so threads of
a scorer's own count. Detoxify runs with a random checkpoint of the real architecture, which costs the same.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from docstrings import docstrings
from machine import describe_machine
from phf.data.segment import segment
from phf.data.sources import read_documents
from phf.scorers import Scorer, build_scorer
from toxicity import make_checkpoint

TOKENS = {"3.3B tokens": 3.3e9, "300B tokens": 300e9, "15T tokens": 15e12}
BATCH_CHARS = 200_000


def batches(texts: Iterator[str], segmenter: str, batch_chars: int) -> Iterator[list[list[str]]]:
    """Documents cut into segments, about so many characters at a time, again and again."""
    batch: list[list[str]] = []
    num_chars = 0
    for text in texts:
        if text:
            batch.append(segment(text, segmenter))
            num_chars += len(text)
        if num_chars >= batch_chars:
            yield batch
            batch, num_chars = [], 0


def rate(scorer: Scorer, texts: list[str], seconds: float) -> float:
    """Characters scored per processor second."""
    small = BATCH_CHARS // 40 if getattr(scorer, "device", None) else BATCH_CHARS
    num_chars, spent = 0, 0.0
    for batch in batches(itertools.cycle(texts), scorer.segmenter, small):
        start = time.process_time()
        scorer.score_documents(batch)
        spent += time.process_time() - start
        num_chars += sum(len(text) for segments in batch for text in segments)
        if spent >= seconds:
            return num_chars / spent
    raise AssertionError("the texts go round for ever")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--chars-per-token", type=float, default=4)
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    code = [document.text for document in itertools.islice(read_documents("python-stdlib"), 300)]
    prose = [text for module in docstrings() for text in module]
    with tempfile.TemporaryDirectory() as name:
        checkpoint = str(make_checkpoint(Path(name), prose))
        scorers = {
            "PEP8Scorer": ({"class_name": "PEP8Scorer"}, code),
            "RuffScorer": ({"class_name": "RuffScorer"}, code),
            "PIIScorer": ({"class_name": "PIIScorer"}, prose),
            "PresidioScorer": ({"class_name": "PresidioScorer"}, prose),
            "ProfanityScorer": ({"class_name": "ProfanityScorer"}, prose),
            "DetoxifyToxicityScorer": ({"class_name": "DetoxifyToxicityScorer", "checkpoint": checkpoint}, prose),
        }
        table = Table("scorer", "million characters per core and second", *(f"core-hours, {size}" for size in TOKENS))
        for name, (config, texts) in scorers.items():
            found = rate(build_scorer(config), texts, arguments.seconds)
            hours = (tokens * arguments.chars_per_token / found / 3600 for tokens in TOKENS.values())
            table.add_row(name, f"{found / 1e6:.4g}", *(f"{h:,.3g}" if h < 1000 else f"{h:,.0f}" for h in hours))
    console.print(table)


if __name__ == "__main__":
    main()
