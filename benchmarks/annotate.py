"""The annotation runner itself: what it costs beside the scorer, and that its memory does not grow with the corpus.

    python benchmarks/annotate.py [--megabytes 3] [--largest 1000]

Overhead: seconds outside the scorer (reading, cutting, checking, writing, hashing) over seconds inside PEP8Scorer, on
modules of the standard library, in one process. Memory: peak resident size of the annotating process, in a fresh
process for each corpus of 10 MB to 1 GB, with a scorer that costs nothing.
"""

import argparse
import gzip
import itertools
import json
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from machine import describe_machine, measure_peak
from phf.annotate.runner import annotate
from phf.data.dataset import read_manifest
from phf.data.sources import read_documents
from phf.scorers import Scorer
from phf.scorers.pep8 import PEP8Scorer


class FreeScorer(Scorer):
    """No score costs anything."""

    segmenter = "lines"

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [0.0] * len(texts)


class TimedPEP8Scorer(PEP8Scorer):
    """PEP8Scorer that adds up the seconds spent in it."""

    seconds = 0.0

    def score_document(self, segments: list[str]) -> list[float | None]:
        start = time.perf_counter()
        scores = super().score_document(segments)
        TimedPEP8Scorer.seconds += time.perf_counter() - start
        return scores


def write_corpus(path: Path, megabytes: float) -> None:
    """Modules of the standard library, again and again, as compressed JSON Lines."""
    texts = [document.text for document in read_documents("python-stdlib")]
    left = megabytes * 1e6
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        for number, text in enumerate(itertools.cycle(texts)):
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
            left -= len(text)
            if left <= 0:
                return


def overhead(folder: Path, megabytes: float) -> tuple[float, float]:
    """-> (seconds in the scorer, seconds outside it)."""
    write_corpus(folder / "overhead.jsonl.gz", megabytes)
    start = time.perf_counter()
    annotate([str(folder / "overhead.jsonl.gz")], {"class_name": "annotate:TimedPEP8Scorer"}, None, folder / "overhead")
    total = time.perf_counter() - start
    import annotate as imported  # the runner imported this file by its name

    return imported.TimedPEP8Scorer.seconds, total - imported.TimedPEP8Scorer.seconds


def annotate_for_free(path: str, output: str) -> None:
    annotate([path], {"class_name": "annotate:FreeScorer"}, None, Path(output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=3, help="corpus of the overhead")
    parser.add_argument("--largest", type=float, default=1000, help="megabytes of the largest corpus of the memory")
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside, outside = overhead(folder, arguments.megabytes)
        console.print(f"PEP8Scorer {inside:.1f} s, everything else {outside:.2f} s: overhead {outside / inside:.1%}")
        table = Table("corpus", "documents", "segments", "peak resident", "MB/s")
        for megabytes in (10, 100, arguments.largest):
            write_corpus(folder / "corpus.jsonl.gz", megabytes)
            output = folder / f"out-{megabytes}"
            start = time.perf_counter()
            peak = measure_peak(annotate_for_free, str(folder / "corpus.jsonl.gz"), str(output))
            rate = megabytes / (time.perf_counter() - start)
            manifest = read_manifest(output)
            table.add_row(
                f"{megabytes:,.0f} MB",
                f"{manifest.num_documents:,}",
                f"{manifest.num_segments:,}",
                f"{peak / 2**20:,.0f} MiB",
                f"{rate:.1f}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
