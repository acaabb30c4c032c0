"""Sentences a second of the whole annotation with ProfanityScorer: reading, segmenting, scoring, writing.

The corpus is the docstrings of the running interpreter's standard library as JSON Lines, repeated under new ids until
there are as many sentences as asked for. Starting the worker processes is part of the time. Needs the extra `profanity`.
"""

import argparse
import ast
import json
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.annotate.runner import annotate
from phf.data.segment import sentences
from phf.data.sources import read_documents
from phf.scorers import build_scorer

SCORER = {"class_name": "ProfanityScorer"}


def docstrings() -> list[str]:
    """All docstrings of the standard library."""
    return [
        text
        for document in read_documents("python-stdlib")
        for node in ast.walk(ast.parse(document.text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node))
    ]


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
    texts = docstrings()
    scorer = build_scorer(SCORER)
    documents = [sentences(text) for text in texts]
    whole: dict[str, list[float]] = {"annotate": [], "scorer alone, one process": []}
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus.jsonl"
        write_corpus(corpus, texts, arguments.sentences)
        for number in range(arguments.rounds):
            start = time.perf_counter()
            manifest = annotate([str(corpus)], SCORER, None, Path(name) / f"round-{number}", arguments.workers)
            whole["annotate"].append(manifest.num_segments / (time.perf_counter() - start))
            start = time.perf_counter()
            scores = scorer.score_documents(documents)
            rate = sum(map(len, scores)) / (time.perf_counter() - start)
            whole["scorer alone, one process"].append(rate)
        console.print(
            f"{manifest.num_documents:,} documents, {manifest.num_segments:,} sentences, "
            f"{corpus.stat().st_size / 2**20:,.0f} MiB; {sum(map(len, texts)) / sum(map(len, documents)):.0f} "
            "characters a sentence"
        )
    table = Table("what", "sentences/s", "slowest round")
    for name, rates in whole.items():
        table.add_row(name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}")
    table.caption = f"medians of {arguments.rounds} alternating rounds; annotate with {arguments.workers} workers"
    console.print(table)


if __name__ == "__main__":
    main()
