"""RuffScorer against PEP8Scorer on the standard library: agreement line by line and document by document, and speed.

    python benchmarks/ruff_agreement.py [--rounds 3]

Agreement is over all modules of `python-stdlib`: of lines, violating or clean; of the scores of documents (violations /
characters) and of their counts, Pearson's r and Spearman's rank correlation. Both scorers are given all documents at
once, in alternating rounds; their times are processor seconds, ruff's own process included, so that other work on the
machine counts little. By the clock RuffScorer is faster still, because ruff uses every core.
"""

import argparse
import os
import statistics
from importlib.metadata import version

import numpy as np
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.data.segment import segment
from phf.data.sources import read_documents
from phf.scorers import Scorer
from phf.scorers.pep8 import PEP8Scorer
from phf.scorers.ruff import RuffScorer


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def correlations(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """(Pearson's r, Spearman's rank correlation)"""
    ranks = [np.unique(values, return_inverse=True)[1] for values in (first, second)]
    sizes = [np.bincount(rank) for rank in ranks]
    # ties share their mean rank
    mean_ranks = [(np.cumsum(size) - (size - 1) / 2)[rank] for rank, size in zip(ranks, sizes, strict=True)]
    return float(np.corrcoef(first, second)[0, 1]), float(np.corrcoef(*mean_ranks)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    texts = [document.text for document in read_documents("python-stdlib") if document.text]
    documents = [segment(text, "lines") for text in texts]
    scorers: list[Scorer] = [PEP8Scorer(), RuffScorer()]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        scores = []
        for scorer, taken in zip(scorers, times, strict=True):
            started = processor_seconds()
            scores.append(scorer.score_documents(documents))
            taken.append(processor_seconds() - started)
    sizes = np.array([len(line) for lines in documents for line in lines])
    counts = [np.array([score for lines in found for score in lines], dtype=float) * sizes for found in scores]
    violating = [found > 0.5 for found in counts]
    ends = np.cumsum([len(lines) for lines in documents])[:-1]
    totals = [np.array([part.sum() for part in np.split(found, ends)]) for found in counts]
    lengths = np.array([len(text) for text in texts])
    both, either = (violating[0] & violating[1]).sum(), (violating[0] | violating[1]).sum()
    table = Table(
        "agreement", "", caption=f"{len(texts):,} documents, {len(sizes):,} lines, {lengths.sum():,} characters"
    )
    table.add_row("lines that both call clean or both violating", f"{(violating[0] == violating[1]).mean():.2%}")
    table.add_row("violating lines: both / either", f"{both / either:.2%}")
    table.add_row("of pycodestyle's violating lines, ruff finds", f"{both / violating[0].sum():.2%}")
    table.add_row("of ruff's violating lines, pycodestyle finds", f"{both / violating[1].sum():.2%}")
    table.add_row("violations: pycodestyle, ruff", f"{totals[0].sum():,.0f}, {totals[1].sum():,.0f}")
    for name, values in {"scores": [total / lengths for total in totals], "counts": totals}.items():
        pearson, spearman = correlations(*values)
        table.add_row(f"{name} of documents: Pearson, Spearman", f"{pearson:.3f}, {spearman:.3f}")
    console = Console()
    console.print(f"{describe_machine()}, pycodestyle {version('pycodestyle')}, ruff {version('ruff')}")
    console.print(table)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    rates = [lengths.sum() / statistics.median(taken) for taken in times]
    console.print(
        f"PEP8Scorer {rates[0]:,.0f} characters a processor second, RuffScorer {rates[1]:,.0f}: {ratio:.1f}x as fast "
        f"(median of {rounds} alternating rounds, processor time)"
    )


if __name__ == "__main__":
    main()
