"""Blocks with control tokens in other places, or of several preferences: time per block against conditional training's.

    python benchmarks/placement.py [--rounds 7] [--documents 3000] [--vocab-size 8192]

The corpus is Python's standard library, cut into lines; a line of more than 79 characters is misaligned, and a second column
has a level by length. Views of one store are opened, and the same number of blocks of 1,024 tokens is read from each in
random order, by one process; the methods take turns in each round. That every view has all of the text, and as many control
tokens as it counts, is asserted. Times are of the processor, which other programs disturb less. What a placement costs in
training is the difference per block, against the time that a step takes for a block (`train.py`); with data-loading workers,
which read ahead, none of it is waited for.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.feedback.conditioning import ScoreThresholds
from phf.feedback.control_tokens import ControlTokens, control_tokens_of_levels
from phf.feedback.method import Method
from phf.feedback.preference import ScorePreferences
from phf.tokens.building import build_store_with
from phf.tokens.pieces import Corpus
from phf.tokens.text_tokenizer import TextTokenizer
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer
from phf.tokens.view_settings import ViewSettings
from phf.tokens.views import Blocks

SEQ_LENGTH = 1024
NUM_READS = 500
LEVELS = {"long": ["<|long-1|>", "<|long-2|>"], "short": ["<|short-1|>", "<|short-2|>", "<|short-3|>"]}
CONDITIONAL = Method(
    conditioning=ScoreThresholds([0.0]),
    control_tokens=ControlTokens(tuple(LEVELS["long"])),
    drop_token_fraction=0.01,
)
"""That of the paper's tasks."""


@dataclass
class Reading:
    """A method, and what was measured of it."""

    name: str
    blocks: Blocks
    opening: list[float]
    """Seconds of the processor to open the view, by round."""
    reading: list[float]
    """The same per block."""


def methods() -> dict[str, Method]:
    preferences = [
        {
            "name": name,
            "class_name": "ScoreThresholds",
            "thresholds": list(range(len(tokens) - 1)),
            "scores_column": column,
            "control_tokens": tokens,
            "drop_token_fraction": 0.01,
        }
        for (name, tokens), column in zip(LEVELS.items(), ("scores", "short_scores"), strict=True)
    ]
    several = Method(conditioning=ScorePreferences(preferences), control_tokens=control_tokens_of_levels(LEVELS))
    places = ("on_change", "before_document", "after_segment")
    return {
        "mle": Method(),
        "conditional": CONDITIONAL,
        **{place: replace(CONDITIONAL, placement=place) for place in places},
        "2 preferences": several,
        **{f"2 preferences, {place}": replace(several, placement=place) for place in places},
    }


def documents(number: int) -> list[tuple[AnnotatedDocument, list[float]]]:
    """Modules of the standard library, and their scores in the second column."""
    import sysconfig

    paths = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    pairs = []
    for path in islice(paths, number):
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except UnicodeDecodeError:
            continue
        scores = [float(len(line) > 80) for line in lines]
        pairs.append(
            (AnnotatedDocument(path.as_posix(), lines, scores), [float(min(len(line) // 40, 2)) for line in lines])
        )
    return pairs


def read(reading: Reading, order: np.ndarray) -> float:
    start = time.process_time()
    for number in order:
        reading.blocks[int(number) % len(reading.blocks)]
    return (time.process_time() - start) / len(order)


def check(reading: Reading, text: int) -> None:
    """That all tokens of the view are there."""
    blocks = replace(reading.blocks.settings, seq_length=2**16)
    whole = Blocks(reading.blocks.store.folder, blocks)
    ids = np.concatenate([whole[i]["input_ids"] for i in range(len(whole))])
    left_out = whole.num_tokens_dropped
    control = int(np.isin(ids, list(blocks.control_ids)).sum()) if blocks.control_ids else 0
    assert whole.counts.num_text_tokens == text
    assert 0 <= whole.counts.num_control_tokens - control <= left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--vocab-size", type=int, default=8192)
    arguments = parser.parse_args()
    console = Console(width=140)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        pairs = documents(arguments.documents)
        write_shard(
            Path(folder) / "shard.parquet", [one for one, _ in pairs], {"short_scores": [two for _, two in pairs]}
        )
        texts = ("".join(one.texts) for one, _ in pairs)
        control = [token for tokens in LEVELS.values() for token in tokens]
        tokenizer = prepare_tokenizer(train_tokenizer(texts, arguments.vocab_size), control)
        corpus = Corpus((str(Path(folder) / "shard.parquet"),), "scores", TextTokenizer.of(tokenizer), "segments")
        store = build_store_with(corpus, Path(folder) / "stores", ["short_scores"])
        readings = []
        for name, method in methods().items():
            ids = tuple(method.control_tokens.ids(tokenizer))
            opening = (tokenizer.eos_token_id,)
            settings = ViewSettings(opening=opening, method=method, control_ids=ids, seq_length=SEQ_LENGTH)
            readings.append(Reading(name, Blocks(store.folder, settings), [], []))
        for reading in readings:
            check(reading, store.meta["num_tokens"])
        order = np.random.default_rng(0).integers(0, 2**31, NUM_READS)
        for number in range(arguments.rounds):
            for reading in readings if number % 2 else readings[::-1]:
                reading.blocks = Blocks(store.folder, reading.blocks.settings)
                start = time.process_time()
                len(reading.blocks)
                reading.opening.append(time.process_time() - start)
                reading.reading.append(read(reading, order))
        conditional = next(reading for reading in readings if reading.name == "conditional")
        num_segments, num_tokens = store.meta["num_segments"], store.meta["num_tokens"]
        console.print(
            f"{num_tokens:,} tokens of text in {num_segments:,} segments; {NUM_READS} blocks of {SEQ_LENGTH} tokens a round"
        )
        table = Table("method", "opening, ms", "per block, ms", "against conditional", "control tokens")
        for reading in readings:
            ratios = [a / b for a, b in zip(reading.reading, conditional.reading, strict=True)]
            table.add_row(
                reading.name,
                f"{1000 * statistics.median(reading.opening):.0f}",
                f"{1000 * statistics.median(reading.reading):.3f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{reading.blocks.counts.num_control_tokens:,}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
