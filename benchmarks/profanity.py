"""Sentences per second of the whole annotation with ProfanityScorer: reading, segmenting, scoring, writing.

The corpus is JSON Lines, a document for the docstrings of each module of the running interpreter's standard library,
repeated under new ids until there are as many sentences as asked for. Starting the worker processes is part of the
time. "Per CPU second" counts the work of all processes: times the cores it is what a machine with nothing else to do
would reach. Needs the extra `profanity`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from docstrings import docstrings
from machine import describe_machine
from phf.annotate.runner import annotate
from phf.corpus.segmenting.segment import sentences
from phf.scorers import build_scorer

SCORER = {"class_name": "ProfanityScorer"}


def cpu_seconds() -> float:
    """Used so far by this process and by those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write_corpus(path: Path, texts: list[str], num_sentences: int) -> None:
    """JSON Lines of at least `num_sentences` sentences."""
    once = sum(len(sentences(text)) for text in texts)
    with path.open("w", encoding="utf-8") as file:
        for repeat in range(-(-num_sentences // once)):
            file.writelines(json.dumps({"id": f"{repeat}-{i}", "text": text}) + "\n" for i, text in enumerate(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    texts = ["\n\n".join(of_module) for of_module in docstrings()]
    scorer = build_scorer(SCORER)
    documents = [sentences(text) for text in texts]
    whole: dict[str, list[float]] = {"annotate": [], "annotate, per CPU second": [], "scorer alone, one process": []}
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus.jsonl"
        write_corpus(corpus, texts, arguments.sentences)
        for number in range(arguments.rounds):
            start, cpu_start = time.perf_counter(), cpu_seconds()
            manifest = annotate([str(corpus)], SCORER, None, Path(name) / f"round-{number}", arguments.workers)
            whole["annotate"].append(manifest.num_segments / (time.perf_counter() - start))
            whole["annotate, per CPU second"].append(manifest.num_segments / (cpu_seconds() - cpu_start))
            start = time.perf_counter()
            scores = scorer.score_documents(documents)
            rate = sum(map(len, scores)) / (time.perf_counter() - start)
            whole["scorer alone, one process"].append(rate)
        console.print(
            f"{manifest.num_documents:,} documents, {manifest.num_segments:,} sentences, "
            f"{corpus.stat().st_size / 2**20:,.0f} MiB; {sum(map(len, texts)) / sum(map(len, documents)):.0f} "
            "characters per sentence"
        )
    table = Table("what", "sentences/s", "slowest round")
    for name, rates in whole.items():
        table.add_row(name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}")
    table.caption = f"medians of {arguments.rounds} alternating rounds; annotate with {arguments.workers} workers"
    console.print(table)


if __name__ == "__main__":
    main()
