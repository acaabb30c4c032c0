"""A method: the answers to how the scores of a corpus are used, composed from a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from phf.config import Config
from phf.config.percentile import number
from phf.feedback.answers import checked_keeps, checked_tags
from phf.feedback.conditioning import Conditioning, ScoreThresholds
from phf.feedback.control_tokens import NO_CONTROL_TOKENS, NO_TOKEN, ControlTokens
from phf.feedback.document_filter import AvgScoreAtMost, DocumentFilter

if TYPE_CHECKING:
    from phf.feedback.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class Method:
    """How scores are used; every part has a default that does nothing, which together are plain MLE. Picklable."""

    document_filter: DocumentFilter | None = None
    """None keeps every document."""
    conditioning: Conditioning | None = None
    """None puts a control token in front of no segment."""
    control_tokens: ControlTokens = NO_CONTROL_TOKENS
    """What `conditioning` chooses from, best first."""
    drop_token_fraction: float = 0.0
    """Share of segments, in [0, 1], that go without their control token."""
    objective_config: Mapping[str, Any] = field(default_factory=lambda: {"name": "MLE"})
    """The `objective` section of the configuration."""

    def keeps(self, avg_scores: np.ndarray) -> np.ndarray:
        """Which documents are trained on, as far as their scores decide.

        Args:
            avg_scores: [documents] float32, NaN for a document without a scored segment, which is kept.

        Returns [documents] bool. Raises `MethodError` where a user's own filter breaks its contract.
        """
        kept = np.ones(len(avg_scores), bool)
        if self.document_filter is not None:
            is_scored = ~np.isnan(avg_scores)
            name = type(self.document_filter).__name__
            kept[is_scored] = checked_keeps(self.document_filter.keeps, name, avg_scores[is_scored])
        return kept

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """Which control token precedes each segment; a pure function of the scores.

        Args:
            scores: [segments] float32, NaN where unscored: such a segment has no control token.

        Returns [segments] int8, indices into `control_tokens.names`, -1 for none. Raises `MethodError` where a user's
        own class breaks its contract.
        """
        tags = np.full(len(scores), NO_TOKEN, np.int8)
        if self.conditioning is not None:
            is_scored = ~np.isnan(scores)
            name = type(self.conditioning).__name__
            tags[is_scored] = checked_tags(self.conditioning.tags, name, scores[is_scored], self.control_tokens.names)
        return tags

    @cached_property
    def objective(self) -> "Objective":
        """What the loss is. Importing it loads torch."""
        from phf.feedback.objectives import build_objective

        return build_objective(self.objective_config)


def method_of(config: Config) -> Method:
    """The method that a configuration, whose thresholds are numbers by now, describes."""
    dataset = config.dataset
    document_filter = None if dataset.filter_threshold is None else AvgScoreAtMost(dataset.filter_threshold)
    conditional = dataset.conditional_training_config
    if conditional is None:
        return Method(document_filter=document_filter, objective_config=config.objective)
    return Method(
        document_filter=document_filter,
        conditioning=ScoreThresholds([number(conditional.threshold)]),
        control_tokens=ControlTokens((conditional.aligned_prefix, conditional.misaligned_prefix)),
        drop_token_fraction=conditional.drop_token_fraction,
        objective_config=config.objective,
    )
