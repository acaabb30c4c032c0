"""Metrics over the samples of a scenario: length, diversity, and whether code compiles."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from phf.errors import ConfigError
from phf.registry import METRICS


class Metric(Protocol):
    """Texts in, named numbers out; NaN where there are no texts."""

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
    Exact: for every n-gram the largest and second largest count over the references are kept, so a text costs its own
    n-grams and not the references'.
    """

    def __init__(self, n: int = 5, level: Literal["word", "char"] = "word", max_references: int = 200) -> None:
        if n < 1 or max_references < 1:
            raise ConfigError(f"SelfBLEU: n is {n} and max_references is {max_references}; both must be at least 1.")
        self.n = n
        self.level = level
        self.max_references = max_references

    def __call__(self, texts: list[str]) -> dict[str, float]:
        tokens: list[Sequence[str]] = [text.split() if self.level == "word" else text for text in texts]
        # References of text i are the first `max_references` of the others: of these when i is among them.
        pool = tokens[: self.max_references + 1]
        counts = [[Counter(n_grams(words, order + 1)) for words in tokens] for order in range(self.n)]
        best = [_LargestTwo(counts[order][: len(pool)]) for order in range(self.n)]
        lengths = [len(words) for words in pool]
        scores = []
        for index, words in enumerate(tokens):
            if len(tokens) < 2:
                break
            excluded = index if index < len(pool) else self.max_references
            others = [length for i, length in enumerate(lengths) if i != excluded]
            matches = [best[order].clipped(counts[order][index], excluded) for order in range(self.n)]
            scores.append(_bleu(matches, len(words), others))
        return {f"Self-BLEU-{self.n}": _mean(scores)}


class _LargestTwo:
    """For each n-gram: its largest count over the references, whose it is, and the largest among the rest."""

    def __init__(self, counts: list[Counter[Any]]) -> None:
        self._best: dict[Any, tuple[int, int, int]] = {}
        for index, counter in enumerate(counts):
            for gram, count in counter.items():
                largest, owner, second = self._best.get(gram, (0, -1, 0))
                if count > largest:
                    self._best[gram] = (count, index, largest)
                elif count > second:
                    self._best[gram] = (largest, owner, count)

    def clipped(self, counter: Counter[Any], excluded: int) -> tuple[int, int]:
        """(matched, all) n-grams of a hypothesis against all references but number `excluded`."""
        matched = 0
        for gram, count in counter.items():
            largest, owner, second = self._best.get(gram, (0, -1, 0))
            matched += min(count, second if owner == excluded else largest)
        return matched, max(1, counter.total())


def _bleu(matches: list[tuple[int, int]], length: int, reference_lengths: list[int]) -> float:
    """BLEU as NLTK's `sentence_bleu` computes it with smoothing method 1 (epsilon 0.1)."""
    if matches[0][0] == 0:
        return 0.0
    closest = min(reference_lengths, key=lambda reference: (abs(reference - length), reference))
    penalty = 1.0 if length > closest else math.exp(1 - closest / length)
    logs = [math.log(max(matched, 0.1) / total) for matched, total in matches]
    return penalty * math.exp(sum(logs) / len(logs))


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
