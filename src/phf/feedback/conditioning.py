"""Which control token precedes a segment: a question that a class answers with `tags(scores)`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from phf.config.percentile import Threshold, number
from phf.errors import ConfigError
from phf.registry.names import CONDITIONINGS


class Conditioning(Protocol):
    """What `dataset.conditioning` names: an object that gives each segment its control token by its score.

    An attribute `alignment_threshold`, where it has one, is the score up to which a segment counts as aligned:
    evaluation splits held-out text there.
    """

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """[segments] float32, all scored -> [segments] integers: the index of each segment's control token, best first,
        or -1 for none; a function of its score alone."""
        ...


class ScoreThresholds:
    """The first token up to the first of ascending `thresholds`, the second up to the second, and so on; the last one above.

    A score that equals a threshold belongs to the better side. `dataset.conditional_training_config` stands for this
    with one threshold. Raises `ConfigError` for thresholds that do not ascend; equal ones leave a token unused, which
    percentiles of scores that are often the same can do.
    """

    def __init__(self, thresholds: list[Threshold]) -> None:
        numbers = [number(threshold) for threshold in thresholds]
        if not numbers or sorted(numbers) != numbers:
            raise ConfigError(f"thresholds must be one or more numbers in ascending order, not {thresholds}.")
        for low, high in pairwise(numbers):
            if low < high and np.float32(low) == np.float32(high):
                raise ConfigError(
                    f"thresholds {low!r} and {high!r} are the same in float32, in which scores are stored, so no score is "
                    "between them. Choose numbers further apart."
                )
        self.alignment_threshold = numbers[0]
        self.num_tokens = len(numbers) + 1
        self._thresholds = np.array(numbers, np.float32)

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """The number of thresholds below each score, compared in float32, as scores are stored."""
        return np.searchsorted(self._thresholds, scores, side="left")


class ScoreQuantiles:
    """The first token up to the first of ascending `edges`, the second up to the second, and so on; the last one also above.

    `edges` are the largest scores of bins, the last that of all. What `kind: quantiles` with `num_bins` stands for, where
    they are percentiles of the training data at equal distances, as in Quark (Lu et al., arXiv 2205.13636). At two bins
    this is conditional training with the first edge as threshold. Raises `ConfigError` for edges that do not ascend
    strictly, of which one bin would be empty.
    """

    def __init__(self, edges: list[Threshold]) -> None:
        numbers = [number(edge) for edge in edges]
        if len(numbers) < 2 or any(low >= high for low, high in pairwise(map(np.float32, numbers))):
            raise ConfigError(f"edges must be two or more different numbers in ascending order, not {edges}.")
        self.alignment_threshold = numbers[0]
        self.num_tokens = len(numbers)
        self._edges = np.array(numbers[:-1], np.float32)

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """The number of edges below each score, but the last, compared in float32, as scores are stored."""
        return np.searchsorted(self._edges, scores, side="left")


def checked_conditioning(section: Mapping[str, Any], control_tokens: Sequence[str], where: str) -> Any:
    """The object that `class_name` and settings describe, which divides scores among so many control tokens.

    Raises `ConfigError`, which begins with the dotted key `where`, for a name or setting that does not exist, and for another
    number of control tokens.
    """
    conditioning = CONDITIONINGS.build(section, where)
    if isinstance(conditioning, ScoreThresholds | ScoreQuantiles) and conditioning.num_tokens != len(control_tokens):
        settings = "edges" if isinstance(conditioning, ScoreQuantiles) else "thresholds"
        raise ConfigError(
            f"{where}: {len(section[settings])} {settings} divide the scores among {conditioning.num_tokens} control tokens, "
            f"but control_tokens has {len(control_tokens)}."
        )
    return conditioning
