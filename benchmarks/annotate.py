"""The annotation runner itself: what it costs besides the scorer, and that its memory does not grow with the corpus.

    python benchmarks/annotate.py [--rounds 3] [--megabytes 12] [--sizes 10 100 1000]

Overhead: wall-clock seconds outside the scorer (reading, cutting, checking, writing, hashing, waiting for the disk)
over seconds inside PEP8Scorer, on modules of the standard library, in one process; median of the rounds, the first of
which warms up and does not count. Memory: peak resident size of the annotating process, in a fresh process for each size
of corpus in megabytes, with a scorer that costs nothing. Ceiling: how much two processes that know nothing of each other
score in the time in which one scores half of it: what two workers (benchmarks/pep8.py) could reach on this machine.
"""

import argparse
import gzip
import itertools
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from rich.console import Console
from rich.table import Table

from machine import describe_machine, measure_peak
from phf.annotate.runner import annotate
from phf.corpus.manifest import read_manifest
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.scorers.pep8.scorer import PEP8Scorer


class TimedPEP8Scorer(PEP8Scorer):
    """PEP8Scorer that adds up the seconds spent in it."""

    seconds = 0.0

    def score_document(self, segments: list[str]) -> list[float | None]:
        start = time.perf_counter()
        scores = super().score_document(segments)
        TimedPEP8Scorer.seconds += time.perf_counter() - start
        return scores


def write_corpus(path: Path, megabytes: float) -> None:
    """Modules of the standard library, repeated, as compressed JSON Lines."""
    texts = [document.text for document in read_documents("python-stdlib")]
    left = megabytes * 1e6
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        for number, text in enumerate(itertools.cycle(texts)):
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
            left -= len(text)
            if left <= 0:
                return


def overhead(corpus: Path, output: Path) -> tuple[float, float]:
    """-> (seconds in the scorer, seconds outside it)."""
    import annotate as imported  # the runner imports this file by its name

    imported.TimedPEP8Scorer.seconds = 0.0
    start = time.perf_counter()
    annotate([str(corpus)], {"class_name": "annotate:TimedPEP8Scorer"}, None, output)
    inside = imported.TimedPEP8Scorer.seconds
    return inside, time.perf_counter() - start - inside


def annotate_for_free(path: str, output: str) -> None:
    annotate([path], {"class_name": "free:FreeScorer"}, None, Path(output))


def ceiling(megabytes: float) -> float:
    """Twice the seconds of a process that scores alone / those of two that score the same at once."""
    seconds = {number: max(_score_together(number, megabytes)) for number in (1, 2)}
    return 2 * seconds[1] / seconds[2]


def _score_together(number: int, megabytes: float) -> list[float]:
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(number), context.Queue()
    processes = [context.Process(target=_score_alone, args=(megabytes, barrier, queue)) for _ in range(number)]
    for process in processes:
        process.start()
    rates = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return rates


def _score_alone(megabytes: float, barrier: Barrier, queue: Queue) -> None:
    documents, left = [], megabytes * 1e6
    for document in read_documents("python-stdlib"):
        documents.append(segment(document.text, "lines"))
        left -= len(document.text)
        if left <= 0:
            break
    scorer = PEP8Scorer()
    barrier.wait()
    start = time.perf_counter()
    scorer.score_documents(documents)
    queue.put(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of overhead and ceiling; 0 leaves them out")
    parser.add_argument("--megabytes", type=float, default=12, help="corpus of the overhead")
    parser.add_argument("--sizes", type=float, nargs="*", default=[10, 100, 1000], help="corpora of the memory")
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.rounds:
            corpus = folder / "overhead.jsonl.gz"
            write_corpus(corpus, arguments.megabytes)
            _, *seconds_of_rounds = [
                overhead(corpus, folder / f"overhead-{number}") for number in range(arguments.rounds + 1)
            ]
            ratios = [outside / inside for inside, outside in seconds_of_rounds]
            inside, outside = (statistics.median(seconds) for seconds in zip(*seconds_of_rounds, strict=True))
            console.print(
                f"{arguments.megabytes:g} MB: PEP8Scorer {inside:.2f} s, everything else {outside:.2f} s: overhead "
                f"{statistics.median(ratios):.1%} ({min(ratios):.1%} to {max(ratios):.1%} in {len(ratios)} rounds)"
            )
            speedups = [ceiling(arguments.megabytes / 4) for _ in range(arguments.rounds)]
            console.print(f"two processes on their own score {statistics.median(speedups):.2f}x as much as one")
        table = Table("corpus", "documents", "segments", "peak resident", "MB/s")
        for megabytes in arguments.sizes:
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
            shutil.rmtree(output)
        console.print(table)


if __name__ == "__main__":
    main()
