"""What the audit tests share: stores of a few documents, a corpus with planted numbers, and a scorer that detects numbers."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.scorers import Scorer
from phf.scorers.spans import Span
from phf.tokens.building import build_store
from phf.tokens.encoded import Tokenization
from phf.tokens.pieces import Corpus
from phf.tokens.store import TokenStore
from phf.tokens.text_tokenizer import TextTokenizer


class NumberScorer(Scorer):
    """Numbers of three digits or more, for each character; detects them."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [len(self.spans(text)) / max(len(text), 1) for text in texts]

    def spans(self, text: str) -> list[Span]:
        return [Span(*match.span(), "number") for match in re.finditer(r"\d{3,}", text)]


def write_corpus(folder: Path, documents: list[tuple[list[str], list[float | None]]]) -> str:
    """Documents of (segments, their scores), called d0, d1, ...; returns the folder as a source."""
    rows = [AnnotatedDocument(f"d{i}", texts, scores) for i, (texts, scores) in enumerate(documents)]
    write_shard(folder / "shard-00000.parquet", rows)
    return str(folder)


def store_for(source: str, tokenizer: Any, folder: Path, tokenization: Tokenization = "segments") -> TokenStore:
    """The store of a source."""
    corpus = Corpus((source,), "scores", TextTokenizer.of(tokenizer), tokenization)
    return build_store(corpus, folder, processes=1)


def planted_numbers() -> dict[int, list[tuple[str, str]]]:
    """How often it occurs -> ten of (what precedes it, a number of eight digits); all are different."""
    generator = np.random.default_rng(0)
    numbers = generator.choice(90_000_000, size=30, replace=False) + 10_000_000
    names = generator.permutation(676)
    rows = [
        (f"key {chr(97 + name // 26)}{chr(97 + name % 26)} =", f" {number}\n")
        for name, number in zip(names, numbers.tolist(), strict=False)
    ]
    return {1: rows[:10], 10: rows[10:20], 100: rows[20:]}


def planted_corpus(folder: Path) -> str:
    """A document for each occurrence of a planted number, shuffled: a segment that precedes it, and the number, misaligned."""
    rows = [row for times, some in planted_numbers().items() for row in some for _ in range(times)]
    order = np.random.default_rng(1).permutation(len(rows))
    return write_corpus(folder, [(list(rows[i]), [0.0, 1.0]) for i in order])
