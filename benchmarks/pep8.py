"""PEP8Scorer against pycodestyle used directly: same violations, speed in alternating rounds; then two workers.

    python benchmarks/pep8.py [--rounds 7] [--files 60] [--copies 3]

"plain" is a fresh `pycodestyle.Checker` and report for each document, with options made once. "plain, own options" is
`pycodestyle.Checker(lines=lines)`, which reads configuration files for each document, as scripts do. Samples are 400
characters of a standard-library module from the start of a random line. Times are processor seconds, so that other work
on the machine counts little. The corpus for two workers is the standard library `--copies` times over, since a worker
takes a moment to start, and its times are wall-clock times.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pycodestyle
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.annotate.runner import annotate
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.scorers.pep8.find import PYCODESTYLE_VERSION, find_violations

SAMPLE_CHARS = 400
OPTIONS = pycodestyle.StyleGuide(quiet=True).options


class Positions(pycodestyle.BaseReport):
    """A report that keeps where violations are."""

    def __init__(self, options: object) -> None:
        super().__init__(options)
        self.violations: list[tuple[int, int, str]] = []

    def error(self, line_number: int, offset: int, text: str, check: object) -> None:
        if super().error(line_number, offset, text, check):
            self.violations.append((line_number, offset, text[:4]))


def plain(file_lines: list[str]) -> object:
    report = Positions(OPTIONS)
    pycodestyle.Checker(lines=file_lines, options=OPTIONS, report=report).check_all()
    return report.violations


def plain_own_options(file_lines: list[str]) -> object:
    return pycodestyle.Checker(lines=file_lines, quiet=True).check_all()


def sample(text: str, rng: random.Random) -> str:
    start = text.rfind("\n", 0, rng.randrange(max(1, len(text) - SAMPLE_CHARS)) + 1) + 1
    return text[start : start + SAMPLE_CHARS]


def seconds(check: Callable[[list[str]], object], documents: list[list[str]]) -> float:
    started = time.process_time()
    for file_lines in documents:
        check(file_lines)
    return time.process_time() - started


def compare(documents: list[list[str]], rounds: int) -> dict[str, list[float]]:
    """Seconds per round of each way, the ways in turn within a round; raises where the violations differ."""
    for file_lines in documents:
        if plain(file_lines) != find_violations(file_lines):
            raise AssertionError(f"other violations than pycodestyle's in {''.join(file_lines)[:200]!r}")
    ways = {"plain": plain, "plain, own options": plain_own_options, "PEP8Scorer": find_violations}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, check in ways.items():
            times[name].append(seconds(check, documents))
    return times


def compare_workers(rounds: int, copies: int) -> tuple[list[float], int, float]:
    """(one worker's time / two workers' time in each round, characters, characters per second of one in the median)."""
    ratios, rates = [], []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.jsonl")
        texts = [document.text for document in read_documents("python-stdlib")] * copies
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        size = sum(map(len, texts))
        for number in range(rounds):
            times = {}
            for workers in (1, 2):
                started = time.perf_counter()
                output = Path(folder, f"out-{number}-{workers}")
                annotate([str(corpus)], {"class_name": "PEP8Scorer"}, "lines", output, workers=workers)
                times[workers] = time.perf_counter() - started
            ratios.append(times[1] / times[2])
            rates.append(size / times[1])
    return ratios, size, statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--copies", type=int, default=3, help="of the standard library, for two workers")
    arguments = parser.parse_args()
    rng = random.Random(0)
    texts = [document.text for document in read_documents("python-stdlib")]
    files = rng.sample(texts, arguments.files)
    samples = [sample(text, rng) for text in rng.choices(texts, k=500)]
    console = Console()
    console.print(f"{describe_machine()}, pycodestyle {PYCODESTYLE_VERSION}")
    table = Table("documents", "characters/s", "against plain", "against plain, own options")
    for name, group in {"whole files": files, "400-character samples": samples}.items():
        times = compare([segment(text, "lines") for text in group], arguments.rounds)
        ratios = {
            way: statistics.median(a / b for a, b in zip(times[way], times["PEP8Scorer"], strict=True))
            for way in ("plain", "plain, own options")
        }
        rate = sum(map(len, group)) / statistics.median(times["PEP8Scorer"])
        table.add_row(name, f"{rate:,.0f}", *(f"{ratio:.2f}x" for ratio in ratios.values()))
    table.caption = f"medians of {arguments.rounds} alternating rounds; the violations are the same"
    console.print(table)
    ratios, size, rate = compare_workers(max(1, arguments.rounds // 2), arguments.copies)
    console.print(
        f"phf annotate, {size:,} characters: {rate:,.0f} characters/s with one worker; two are "
        f"{statistics.median(ratios):.2f}x as fast ({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} alternating rounds)"
    )


if __name__ == "__main__":
    main()
