"""RuffScorer against PEP8Scorer on the standard library: agreement line by line and document by document, and speed.

    python benchmarks/ruff_agreement.py [--rounds 3]

Agreement is over all modules of `python-stdlib`, and over 2,000 samples of 400 characters of them from the start of a
random line, many of which do not parse, like samples from a model: of lines, violating or clean; of the scores of
documents (violations / characters) and of their counts, Pearson's r and Spearman's rank correlation. Both scorers are
given all modules at once, in alternating rounds; their times are processor seconds, ruff's own process included, so that
other work on the machine counts little. In wall time RuffScorer is faster still, because ruff uses every core.
"""

import argparse
import os
import random
import statistics
from importlib.metadata import version

import numpy as np
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.scorers import Scorer
from phf.scorers.pep8.ruff import RuffScorer
from phf.scorers.pep8.scorer import PEP8Scorer

SAMPLE_CHARS = 400
Scores = list[list[float | None]]


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


def sample(text: str, rng: random.Random) -> str:
    start = text.rfind("\n", 0, rng.randrange(max(1, len(text) - SAMPLE_CHARS)) + 1) + 1
    return text[start : start + SAMPLE_CHARS]


def agreement(documents: list[list[str]], scores: list[Scores]) -> dict[str, str]:
    """How far two scorers' scores of the same documents agree."""
    sizes = np.array([len(line) for lines in documents for line in lines])
    counts = [np.array([score for lines in of_scorer for score in lines], dtype=float) * sizes for of_scorer in scores]
    violating = [of_scorer > 0.5 for of_scorer in counts]
    ends = np.cumsum([len(lines) for lines in documents])[:-1]
    totals = [np.array([part.sum() for part in np.split(of_scorer, ends)]) for of_scorer in counts]
    lengths = np.array([sum(map(len, lines)) for lines in documents])
    both = (violating[0] & violating[1]).sum()
    rows = {
        "documents, lines, characters": f"{len(documents):,}, {len(sizes):,}, {sizes.sum():,}",
        "lines that both call clean or both violating": f"{(violating[0] == violating[1]).mean():.2%}",
        "of pycodestyle's violating lines, ruff finds": f"{both / violating[0].sum():.2%}",
        "of ruff's violating lines, pycodestyle finds": f"{both / violating[1].sum():.2%}",
        "violations: pycodestyle, ruff": f"{totals[0].sum():,.0f}, {totals[1].sum():,.0f}",
    }
    for name, values in {"scores": [total / lengths for total in totals], "counts": totals}.items():
        pearson, spearman = correlations(*values)
        rows[f"{name} of documents: Pearson, Spearman"] = f"{pearson:.3f}, {spearman:.3f}"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    rng = random.Random(0)
    texts = [document.text for document in read_documents("python-stdlib") if document.text]
    modules = [segment(text, "lines") for text in texts]
    samples = [segment(text, "lines") for text in (sample(text, rng) for text in rng.choices(texts, k=2000)) if text]
    scorers: list[Scorer] = [PEP8Scorer(), RuffScorer()]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        scores = []
        for scorer, taken in zip(scorers, times, strict=True):
            started = processor_seconds()
            scores.append(scorer.score_documents(modules))
            taken.append(processor_seconds() - started)
    of_modules = agreement(modules, scores)
    of_samples = agreement(samples, [scorer.score_documents(samples) for scorer in scorers])
    table = Table("agreement", "modules", "400-character samples")
    for name, value in of_modules.items():
        table.add_row(name, value, of_samples[name])
    console = Console()
    console.print(f"{describe_machine()}, pycodestyle {version('pycodestyle')}, ruff {version('ruff')}")
    console.print(table)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    num_chars = sum(map(len, texts))
    rates = [num_chars / statistics.median(taken) for taken in times]
    console.print(
        f"PEP8Scorer {rates[0]:,.0f} characters per processor second, RuffScorer {rates[1]:,.0f}: {ratio:.1f}x as fast "
        f"on modules (median of {rounds} alternating rounds)"
    )


if __name__ == "__main__":
    main()
