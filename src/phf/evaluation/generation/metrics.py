"""Metrics over the samples of a scenario: length, diversity, and whether code compiles."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from phf.errors import ConfigError
from phf.evaluation.generation.bleu import self_bleu
from phf.registry.names import METRICS


class Metric(Protocol):
    """Texts in, named numbers out; NaN if there are no texts."""

    def __call__(self, texts: list[str]) -> dict[str, float]: ...


def build_metric(config: Mapping[str, Any]) -> Metric:
    """Build `{"class_name": "NGramStats", "n": 2}`."""
    return METRICS.build(config, where="generation.metrics_configs")


class Length:
    """`length`: mean number of characters."""

    def __call__(self, texts: list[str]) -> dict[str, float]:
        return {"length": _mean([len(text) for text in texts])}


class NGramStats:
    """Word n-grams, words separated by white space.

    `distinct-n-grams`: mean over texts of distinct / all n-grams, in [0, 1], higher is more diverse; a text without any
    counts as 0. `entropy-n-grams`: entropy of all n-grams of all texts together, nats, higher is more diverse.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ConfigError(f"NGramStats: n is {n}; it must be at least 1.")
        self.n = n

    def __call__(self, texts: list[str]) -> dict[str, float]:
        counts: Counter[tuple[str, ...]] = Counter()
        ratios = []
        for text in texts:
            grams = n_grams(text.split(), self.n)
            counts.update(grams)
            ratios.append(len(set(grams)) / max(len(grams), 1))
        total = counts.total()
        entropy = -sum(c / total * math.log(c / total) for c in counts.values()) if total else math.nan
        return {f"distinct-{self.n}-grams": _mean(ratios), f"entropy-{self.n}-grams": entropy}


class SelfBLEU:
    """`Self-BLEU-n` (Zhu et al., arXiv 1802.01886): mean BLEU of each text against the others, in [0, 1].

    Lower is more diverse. Equal weights for 1..n-grams, NLTK's smoothing method 1, references: the first
    `max_references` other texts. Level "word" splits at white space; "char" is what the released system computed.
    """

    def __init__(self, n: int = 5, level: Literal["word", "char"] = "word", max_references: int = 200) -> None:
        if n < 1 or max_references < 1:
            raise ConfigError(f"SelfBLEU: n is {n} and max_references is {max_references}; both must be at least 1.")
        self.n = n
        self.level = level
        self.max_references = max_references

    def __call__(self, texts: list[str]) -> dict[str, float]:
        return {f"Self-BLEU-{self.n}": _mean(self.scores(texts))}

    def scores(self, texts: list[str]) -> list[float]:
        """BLEU of each text; empty if there is no other text."""
        tokens: list[Sequence[str]] = [text.split() if self.level == "word" else text for text in texts]
        return self_bleu(tokens, self.n, self.max_references)


class Compilability:
    """`compilability`: share of texts that compile as Python (nothing is run), in [0, 1], higher is better."""

    def __call__(self, texts: list[str]) -> dict[str, float]:
        return {"compilability": _mean([_compiles(text) for text in texts])}


def _compiles(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<sample>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def n_grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n tokens, in order."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
