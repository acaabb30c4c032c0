"""BLEU of each text against the others, exactly as NLTK computes it, without comparing texts pair by pair.

A hypothesis only needs, for each of its n-grams, the largest count over its references. All hypotheses share their
references except for themselves, so the largest and second largest count of each n-gram serve all of them.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np

EPSILON = 0.1
"""Count used for an order without matches, as in NLTK's smoothing method 1."""


def self_bleu(texts: Sequence[Sequence[Hashable]], n: int, max_references: int) -> list[float]:
    """BLEU with equal weights for 1..n-grams of each text, a sequence of tokens, in [0, 1].

    References: the first `max_references` of the other texts. Empty for fewer than two texts.
    """
    if len(texts) < 2:
        return []
    # the references of a text are these without itself, or without the last if it is not among them
    num_pool = min(max_references + 1, len(texts))
    excluded = np.minimum(np.arange(len(texts)), num_pool - 1)
    lengths = np.array([len(text) for text in texts])
    matched, total = _matches(texts, lengths, n, num_pool, excluded)
    return [
        _bleu(
            matched[:, index].tolist(), total[:, index].tolist(), length, np.delete(lengths[:num_pool], excluded[index])
        )
        for index, length in enumerate(lengths.tolist())
    ]


def _matches(
    texts: Sequence[Sequence[Hashable]], lengths: np.ndarray, n: int, num_pool: int, excluded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[n, texts] numbers of matched n-grams, and of all."""
    numbers: dict[Hashable, int] = {}
    tokens = np.array([numbers.setdefault(token, len(numbers)) for text in texts for token in text], dtype=np.int64)
    owners = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))
    starts, grams = np.arange(len(tokens)), tokens
    matched, total = (np.zeros((n, len(texts)), dtype=np.int64) for _ in range(2))
    for order in range(1, n + 1):
        if order > 1:  # number the n-grams: each is a shorter one and one more token
            fits = left[starts] >= order
            starts = starts[fits]
            longer = grams[fits] * len(numbers) + tokens[starts + order - 1]
            grams = np.unique(longer, return_inverse=True)[1]
        pairs, counts = np.unique(grams * len(texts) + owners[starts], return_counts=True)
        gram, text = np.divmod(pairs, len(texts))
        is_reference = text < num_pool
        best = _largest_of_others(gram[is_reference], text[is_reference], counts[is_reference], gram, excluded[text])
        np.add.at(matched[order - 1], text, np.minimum(counts, best))
        total[order - 1] = np.maximum(lengths - order + 1, 1)
    return matched, total


def _largest_of_others(
    gram: np.ndarray, text: np.ndarray, count: np.ndarray, wanted: np.ndarray, excluded: np.ndarray
) -> np.ndarray:
    """For each wanted n-gram the largest count in any reference but the excluded one.

    Args:
        gram, text, count: what is in the references.
        wanted, excluded: n-grams of hypotheses, and the reference that does not count for each.
    """
    by_count = np.lexsort((-count, gram))
    gram, text, count = gram[by_count], text[by_count], count[by_count]
    first = np.flatnonzero(np.diff(gram, prepend=-1))
    second = first + 1
    has_second = np.diff(first, append=len(gram)) > 1
    size = int(wanted.max(initial=-1)) + 1
    largest, owner, runner_up = np.zeros(size, np.int64), np.full(size, -1), np.zeros(size, np.int64)
    largest[gram[first]], owner[gram[first]] = count[first], text[first]
    runner_up[gram[first[has_second]]] = count[second[has_second]]
    return np.where(owner[wanted] == excluded, runner_up[wanted], largest[wanted])


def _bleu(matched: list[int], total: list[int], length: int, reference_lengths: np.ndarray) -> float:
    """BLEU as NLTK's `sentence_bleu` computes it; 0 without a single matching token."""
    if matched[0] == 0:
        return 0.0
    distance = np.abs(reference_lengths - length)
    closest = int(reference_lengths[distance == distance.min()].min())
    penalty = 1.0 if length > closest else math.exp(1 - closest / length)
    logs = [math.log((count or EPSILON) / among) for count, among in zip(matched, total, strict=True)]
    return penalty * math.exp(sum(logs) / len(logs))
