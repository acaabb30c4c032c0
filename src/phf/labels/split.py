"""Labels divided into those to train on and those held out, with no text, prompt or document on both sides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from phf.errors import CorpusError
from phf.labels.label import Label

LEAST_SHARE = 0.5
"""Of the labels that were to be held out, those that must be: a group of connected labels may be too large for either side."""


class Division(NamedTuple):
    """Indices of labels, in random order."""

    train: list[int]
    held_out: list[int]
    groups: np.ndarray
    """Number of the group of each label: those of different groups have nothing in common."""


def divide(labels: Sequence[Label], fraction: float, seed: int) -> Division:
    """Hold out about `fraction` of the labels, in whole groups of labels that share a text, prompt or document.

    Raises `CorpusError` if so many labels are connected that this is not possible.
    """
    groups = connected(labels)
    sizes = np.bincount(groups)
    wanted = max(1, round(fraction * len(labels)))
    generator = np.random.default_rng(seed)
    held: set[int] = set()
    count = 0
    for group in generator.permutation(len(sizes)).tolist():
        if count + sizes[group] <= wanted:
            held.add(group)
            count += int(sizes[group])
    if count < LEAST_SHARE * wanted or count == len(labels):
        raise CorpusError(
            f"{sizes.max():,} of the {len(labels):,} labels are connected by common texts, prompts or documents, so "
            f"{wanted:,} cannot be held out without their texts among the others. Label texts of more documents."
        )
    order = generator.permutation(len(labels)).tolist()
    return Division(
        [index for index in order if groups[index] not in held],
        [index for index in order if groups[index] in held],
        groups,
    )


def connected(labels: Sequence[Label]) -> np.ndarray:
    """Number of the group of each label, from 0: labels with a common origin are in one, and so are theirs."""
    parents = list(range(len(labels)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[object, int] = {}
    for index, label in enumerate(labels):
        for origin in label.origins:
            parents[root(index)] = root(first.setdefault(origin, index))
    roots = [root(index) for index in range(len(labels))]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[group] for group in roots])
