"""Characters per second of every scorer on a core and on a GPU of this machine, and what corpora would cost: Markdown.

    python benchmarks/rates.py [--seconds 10] [--chars-per-token 4] [--only PEP8Scorer ...] [--on core gpu] [--write]

Each scorer scores segments of its own kind, in batches as `phf annotate` gives them: lines of standard-library modules
for the scorers of code, sentences of their docstrings for the others, in random order. It does so for at least
`--seconds` processor seconds, in one process and, where it has threads, with one thread; processes that it starts count
too.
DetoxifyToxicityScorer and ClassifierScorer run with random weights of a real architecture (bert-base), which cost the
same. "the runner" is everything that `phf annotate` does besides scoring: its seconds come on top of each scorer's.
Scorers whose extra is not installed are left out, and named.

Where there is a GPU, the scorers with a model run on it too, one process on one GPU, for at least `--seconds` of wall
time: tokenisation and all waiting are part of them. `--write` puts the tables into docs/scaling.md.
"""

import argparse
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from annotate import annotate_for_free, write_corpus
from docstrings import docstrings
from machine import describe_machine
from phf.corpus.dataset import group_by_chars
from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.errors import MissingExtraError
from phf.scorers import Scorer, build_scorer
from tables import write_section
from toxicity import make_checkpoint

TOKENS = {"3.3B": 3.3e9, "300B": 300e9, "15T": 15e12}
CODE_SCORERS = ("PEP8Scorer", "RuffScorer")
MODEL_SCORERS = ("DetoxifyToxicityScorer", "ClassifierScorer")
PROSE_SCORERS = ("PIIScorer", "PresidioScorer", "ProfanityScorer", *MODEL_SCORERS)
MODEL_BATCH_CHARS = 20_000
"""A core takes seconds for that."""
RUNNER_MEGABYTES = 10
PAGE = Path(__file__).parents[1] / "docs/scaling.md"


def processor_seconds() -> float:
    """Of this process and of those it has started and waited for."""
    return sum(os.times()[:4])


def rate(scorer: Scorer, texts: list[str], seconds: float, batch_chars: int, clock: Callable[[], float]) -> float:
    """Characters scored per second of `clock`, in batches of about `batch_chars`."""
    documents = (segment(text, scorer.segmenter) for text in itertools.cycle(texts))
    batches = group_by_chars(documents, lambda segments: sum(map(len, segments)), batch_chars)
    scorer.score_documents(next(batches))  # whatever is loaded or built first
    num_chars, spent = 0, 0.0
    for batch in batches:
        start = clock()
        scorer.score_documents(batch)
        spent += clock() - start
        num_chars += sum(len(text) for segments in batch for text in segments)
        if spent >= seconds:
            return num_chars / spent
    raise AssertionError("the texts are repeated forever")


def runner_rate(folder: Path) -> float:
    """Characters annotated per processor second by a scorer that costs nothing, from and to files."""
    write_corpus(folder / "corpus.jsonl.gz", RUNNER_MEGABYTES)
    num_chars = sum(len(document.text) for document in read_documents(str(folder / "corpus.jsonl.gz")))
    annotate_for_free(str(folder / "corpus.jsonl.gz"), str(folder / "warm"))
    start = processor_seconds()
    annotate_for_free(str(folder / "corpus.jsonl.gz"), str(folder / "out"))
    return num_chars / (processor_seconds() - start)


def scorer_section(name: str, model_folder: Path, device: str) -> dict[str, Any]:
    """Configuration of a scorer; those with a model get the random one in `model_folder`."""
    settings: dict[str, dict[str, Any]] = {
        "DetoxifyToxicityScorer": {
            "checkpoint": str(model_folder / "random.ckpt"),
            "huggingface_config_path": str(model_folder),
            "device": device,
        },
        "ClassifierScorer": {"path_or_name": str(model_folder), "label": 0, "device": device},
    }
    return {"class_name": name, **settings.get(name, {})}


def heading(per: str) -> str:
    """`per`: "core" or "GPU"."""
    sizes = " | ".join(f"{size} tokens" for size in TOKENS)
    return f"| scorer | segments | characters per second and {per} | {sizes} |\n|---|---|---|{'---|' * len(TOKENS)}"


def row(name: str, segments: str, chars_per_second: float, chars_per_token: float) -> str:
    hours = (tokens * chars_per_token / chars_per_second / 3600 for tokens in TOKENS.values())
    numbers = " | ".join(f"{h:,.2g}" if h < 10 else f"{h:,.0f}" for h in hours)
    return f"| {name} | {segments} | {chars_per_second:,.0f} | {numbers} |"


def example(per: str, name: str, chars_per_second: float, chars_per_token: float) -> str:
    """The arithmetic of one cell."""
    size, tokens = next(iter(TOKENS.items()))
    chars = tokens * chars_per_token
    return (
        f"\nIn the last {len(TOKENS)} columns: {per}-hours = tokens x {chars_per_token:g} characters per token / rate / 3600. "
        f"`{name}`, {size} tokens: {tokens:,.0f} x {chars_per_token:g} = {chars:,.0f} characters; "
        f"/ {chars_per_second:,.0f} / 3600 = {chars / chars_per_second / 3600:,.2g} {per}-hours. "
        f"Divide by the number of {per}s for hours of wall time.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--chars-per-token", type=float, default=4)
    parser.add_argument("--only", nargs="*", choices=[*CODE_SCORERS, *PROSE_SCORERS], help="default: all")
    parser.add_argument("--on", nargs="*", choices=["core", "gpu"], help="default: what there is")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    arguments = parser.parse_args()
    started = time.perf_counter()
    rng = random.Random(0)
    code = [document.text for document in read_documents("python-stdlib") if document.text]
    prose = [text for module in docstrings() for text in module if text]
    rng.shuffle(code)
    rng.shuffle(prose)
    chars = arguments.chars_per_token
    names = arguments.only or [*CODE_SCORERS, *PROSE_SCORERS]
    machine = describe_machine()
    print(f"{machine}\n")
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder), prose)
        for per in arguments.on or (["core", "gpu"] if torch.cuda.is_available() else ["core"]):
            on_core = per == "core"
            if on_core:
                torch.set_num_threads(1)
            rates: dict[str, float] = {}
            lines: list[str] = []

            def say(line: str, lines: list[str] = lines) -> None:
                print(line, flush=True)
                lines.append(line)

            unit = "core" if on_core else "GPU"
            say(heading(unit))
            for name in names if on_core else [name for name in names if name in MODEL_SCORERS]:
                try:
                    scorer = build_scorer(scorer_section(name, Path(folder), "cpu" if on_core else "cuda"))
                except MissingExtraError as error:
                    missing[name] = str(error)
                    continue
                batch_chars = MODEL_BATCH_CHARS if on_core and name in MODEL_SCORERS else scorer.batch_chars
                clock = processor_seconds if on_core else time.perf_counter
                texts = code if name in CODE_SCORERS else prose
                rates[name] = rate(scorer, texts, arguments.seconds, batch_chars, clock)
                say(row(f"`{name}`", scorer.segmenter, rates[name], chars))
            if on_core:
                say(row("the runner", "lines", runner_rate(Path(folder)), chars))
            if rates:
                say(example(unit, *next(iter(rates.items())), chars))
            if not on_core:
                say(f"Most GPU memory held: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB.")
            if arguments.write:
                write_section(PAGE, f"rates.py {per}", f"Measured on {machine}.\n\n" + "\n".join(lines))
    print("\n".join(missing.values()))
    print(f"Measured in {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
