"""PIIScorer against the same scrubadub detectors used directly: same scores, speed in alternating rounds.

    python benchmarks/pii.py [--lines 6000]

The lines are prose that is available offline: READMEs and licences of the installed packages and docstrings of the
standard library, and one line in ten has PII made up by Faker in it, so that every detector fires. "plain" is a
`scrubadub.Scrubber` with these detectors. Both are given the same blocks of lines in turn, and the ratio is of the total
times, so that the few lines that reach the slow detectors count as much as they should. Lines about Skype are left out
of the timing, in favour of "plain": it takes a second or more for each unknown word near one.
"""

import argparse
import ast
import random
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path

from faker import Faker
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.corpus.sources.documents import read_documents
from phf.scorers.pii.scorer import PIIScorer
from plain_scrubadub import plain_score, plain_scrubber

PII_SHARE = 0.1
BLOCK = 250
SKYPE_LINES = ["Reach me on Skype as zzqxjwvk today.", "My skype name: jane.doe-84, call any time."]
KINDS: list[Callable[[Faker], str]] = [
    lambda fake: f"born on {fake.date_of_birth(minimum_age=19, maximum_age=90):%d %B %Y}",
    lambda fake: f"username: {fake.user_name()} password: {fake.password()}",
    lambda fake: fake.address().replace("\n", ", "),
    lambda fake: f"+1-650-253-{random.randint(0, 9999):04d}",
    lambda fake: f"card {fake.credit_card_number()}",
    lambda fake: f"SSN {fake.ssn()}",
    lambda fake: fake.email(),
    lambda fake: f"@{fake.user_name()}",
    lambda fake: fake.url(),
]


def prose() -> Iterator[str]:
    """Lines of at least 30 characters that start with a letter."""
    texts = [distribution.read_text("METADATA") or "" for distribution in distributions()]
    for distribution in distributions():
        licences = [file for file in distribution.files or () if "LICENSE" in file.name.upper()]
        paths = [Path(str(file.locate())) for file in licences]
        texts += [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]
    for module in read_documents("python-stdlib"):
        nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
        docs = (ast.get_docstring(node) for node in ast.walk(ast.parse(module.text)) if isinstance(node, nodes))
        texts += [doc for doc in docs if doc]
    for text in texts:
        yield from (line.strip() + "\n" for line in text.splitlines() if len(line) >= 30 and line.strip()[:1].isalpha())


def sample(number: int) -> list[str]:
    """Distinct lines of prose, one in ten with made-up PII at its end."""
    random.seed(0)
    Faker.seed(0)
    fakers = [Faker(locale) for locale in ("en_US", "en_GB", "en_CA")]
    lines = sorted({line for line in prose() if "skype" not in line.lower()})
    lines = random.sample(lines, number)
    for index in random.sample(range(number), round(number * PII_SHARE)):
        lines[index] = f"{lines[index].strip()} {KINDS[index % len(KINDS)](random.choice(fakers))}\n"
    return lines


def timed(score: Callable[[str], float | None], lines: list[str]) -> tuple[float, list[float | None]]:
    start = time.perf_counter()
    scores = [score(line) for line in lines]
    return time.perf_counter() - start, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=6000)
    number = parser.parse_args().lines
    warnings.simplefilter("ignore")
    console = Console()
    console.print(describe_machine())
    scorer = PIIScorer(spacy_model="none")
    console.print(f"{scorer.version}; {', '.join(scorer.active_detectors)}")
    scrubber = plain_scrubber()
    lines = sample(number)
    for line in SKYPE_LINES:
        assert scorer.score_texts([line]) == [plain_score(scrubber, line)], line
    total = {"plain": 0.0, "PIIScorer": 0.0}
    ratios = []
    for start in range(0, number, BLOCK):
        block = lines[start : start + BLOCK]
        plain_seconds, expected = timed(lambda line: plain_score(scrubber, line), block)
        seconds, scores = timed(lambda line: scorer.score_texts([line])[0], block)
        assert scores == expected, [line for line, a, b in zip(block, scores, expected, strict=True) if a != b]
        total["plain"] += plain_seconds
        total["PIIScorer"] += seconds
        ratios.append(plain_seconds / seconds)
    assert not scorer.unscored
    table = Table("scorer", "lines/s", "characters/s", "speed")
    for name, seconds in total.items():
        rate, characters = number / seconds, sum(map(len, lines)) / seconds
        table.add_row(name, f"{rate:,.0f}", f"{characters:,.0f}", f"{total['plain'] / seconds:.1f}x")
    table.caption = (
        f"{number:,} lines, equal scores; ratio by block of {BLOCK}: median {statistics.median(ratios):.1f}, "
        f"from {min(ratios):.1f} to {max(ratios):.1f}"
    )
    console.print(table)
    counts = Counter(span.label for line in [*lines, *SKYPE_LINES] for span in scorer.spans(line))
    console.print("detections before merging:", ", ".join(f"{name} {count:,}" for name, count in counts.most_common()))
    missing = {name.split("_US")[0].split("_GB")[0].split("_CA")[0] for name in scorer.active_detectors} - set(counts)
    assert not missing, f"never fired: {missing}"


if __name__ == "__main__":
    main()
