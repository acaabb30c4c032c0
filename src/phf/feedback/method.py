"""A method: the answers to how the scores of a corpus are used, composed from a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from phf.config import ConditioningConfig, Config, DatasetConfig, Placement
from phf.config.percentile import number
from phf.config.preferences import levels_of
from phf.feedback.answers import checked_keeps, name_of, probe
from phf.feedback.conditioning import Conditioning, checked_conditioning
from phf.feedback.control_tokens import NO_CONTROL_TOKENS, NO_TOKEN, ControlTokens, control_tokens_of_levels
from phf.feedback.document_filter import AvgScoreAtMost, DocumentFilter
from phf.feedback.preference import Preference, ScorePreferences
from phf.feedback.prompting import Prompting
from phf.registry.names import DOCUMENT_FILTERS

if TYPE_CHECKING:
    from phf.feedback.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class Method:
    """How scores are used; every part has a default that does nothing, which together are plain MLE. Picklable."""

    document_filter: DocumentFilter | None = None
    """None keeps every document."""
    conditioning: Conditioning | None = None
    """None: no segment gets a control token."""
    control_tokens: ControlTokens = NO_CONTROL_TOKENS
    """What `conditioning` chooses from, best first."""
    drop_token_fraction: float = 0.0
    """Share of segments, in [0, 1], that do not get their control token; several preferences have their own."""
    placement: Placement = "before_segment"
    """Where control tokens stand; see `phf.config.schema.dataset.ConditioningConfig`."""
    loss_on_control_tokens: bool = True
    """Whether control tokens are targets of the loss."""
    conditioning_config: Mapping[str, Any] | None = None
    """`class_name` and settings that `conditioning` was made from."""
    tags_every_segment: bool = False
    """Whether the trained model may emit the control token that it was prompted with again, before later segments; or, where
    control tokens follow segments, any of them."""
    hidden_threshold: float | None = None
    """Segments with a score above it are hidden from what follows them; see `phf.feedback.hiding`. None: none is."""
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
            name = name_of(self.document_filter, "keeps")
            kept[is_scored] = checked_keeps(self.document_filter.keeps, name, avg_scores[is_scored])
        return kept

    @cached_property
    def preferences(self) -> tuple[Preference, ...]:
        """What chooses the control tokens in front of a segment, in the order of these; empty for a method without any."""
        if self.conditioning is None:
            return ()
        if isinstance(self.conditioning, ScorePreferences):
            return self.conditioning.preferences
        tokens, dropped = self.control_tokens.names, self.drop_token_fraction
        return (Preference(conditioning=self.conditioning, control_tokens=tokens, drop_token_fraction=dropped),)

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """Which control token each segment has, in a method with at most one preference; see `Preference.tags`."""
        assert len(self.preferences) < 2, "each of several preferences has scores of its own"
        return self.preferences[0].tags(scores) if self.preferences else np.full(len(scores), NO_TOKEN, np.int8)

    @property
    def drops_control_tokens(self) -> bool:
        """Whether any segment goes without a control token that its score calls for."""
        return any(one.drop_token_fraction > 0 for one in self.preferences)

    def without_dropout(self) -> "Method":
        """The same method with every control token in its place, as text is held out."""
        several = isinstance(self.conditioning, ScorePreferences)
        kept = self.conditioning.without_dropout() if several else self.conditioning  # type: ignore[union-attr]
        return replace(self, conditioning=kept, drop_token_fraction=0.0)

    @cached_property
    def objective(self) -> "Objective":
        """What the loss is. Importing it loads torch."""
        from phf.feedback.objectives import build_objective

        return build_objective(self.objective_config)

    @cached_property
    def prompting(self) -> Prompting:
        """How the trained model is prompted."""
        return Prompting(
            control_tokens=self.control_tokens,
            tags_every_segment=self.tags_every_segment,
            threshold=threshold_of(self),
            conditioning=self.conditioning_config,
            placement=self.placement,
        )


def threshold_of(method: Method) -> float:
    """The score up to which a segment counts as aligned in evaluation.

    The threshold of what chooses its control token, else of the objective, where either draws such a line, else that of hidden
    segments; 0 otherwise.
    """
    threshold = getattr(method.conditioning, "alignment_threshold", None)
    if threshold is None:
        threshold = getattr(method.objective, "alignment_threshold", None)
    if threshold is None:
        threshold = method.hidden_threshold
    return 0.0 if threshold is None else float(threshold)


def method_of(config: Config) -> Method:
    """The method that a configuration, whose thresholds are numbers by now, describes.

    A user's own classes are imported, made and tried. Raises `ConfigError` for a name or setting that does not exist,
    `MethodError` for a class that breaks its contract.
    """
    dataset = config.dataset
    tagging = dataset.tagging
    section = _conditioning_section(dataset)
    tokens = control_tokens_of(dataset)
    method = Method(
        document_filter=_document_filter(dataset),
        conditioning=None if section is None else _conditioning(section, tokens, dataset.scores_column),
        control_tokens=tokens,
        drop_token_fraction=0.0 if tagging is None else tagging.drop_token_fraction,
        placement=placement_of(dataset),
        loss_on_control_tokens=tagging is None or tagging.loss_on_control_tokens,
        conditioning_config=section,
        tags_every_segment=bool(tagging and tagging.tag_every_segment_when_sampling),
        hidden_threshold=None if dataset.hidden_threshold is None else number(dataset.hidden_threshold),
        objective_config=config.objective,
    )
    if dataset.document_filter is not None:
        probe(method.keeps, name_of(method.document_filter, "keeps"))
    if dataset.conditioning is not None and len(method.preferences) == 1:
        probe(method.tags, name_of(method.conditioning, "tags"))
    return method


def control_tokens_of(dataset: DatasetConfig) -> ControlTokens:
    """The control tokens of a `dataset` section; empty without conditional training."""
    return NO_CONTROL_TOKENS if dataset.tagging is None else control_tokens_of_levels(levels_of(dataset.tagging))


def placement_of(dataset: DatasetConfig) -> Placement:
    """Where the control tokens of a `dataset` section stand."""
    return "before_segment" if dataset.tagging is None else dataset.tagging.placement


def with_prompting(config: Config, prompting: Prompting) -> Config:
    """The configuration as text is held out from a trained model: with the model's control tokens, chosen as in its training,
    instead of its own, and no document filtered."""
    section = prompting.conditioned()
    conditioning = None
    if section is not None:
        conditioning = ConditioningConfig.model_validate(
            {
                **section,
                "control_tokens": list(prompting.control_tokens),
                "tag_every_segment_when_sampling": prompting.tags_every_segment,
                "placement": prompting.placement,
            }
        )
    update = {
        "conditional_training_config": None,
        "conditioning": conditioning,
        "filter_threshold": None,
        "document_filter": None,
        "hidden_threshold": None,
    }
    return config.model_copy(update={"dataset": config.dataset.model_copy(update=update)})


def _document_filter(dataset: DatasetConfig) -> DocumentFilter | None:
    if dataset.document_filter is not None:
        return DOCUMENT_FILTERS.build(dataset.document_filter, "dataset.document_filter")
    return None if dataset.filter_threshold is None else AvgScoreAtMost(dataset.filter_threshold)


def _conditioning_section(dataset: DatasetConfig) -> dict[str, Any] | None:
    """`class_name` and settings; the keys of the released section are translated."""
    if dataset.conditional_training_config is not None:
        return {"class_name": "ScoreThresholds", "thresholds": [number(dataset.conditional_training_config.threshold)]}
    if dataset.conditioning is None:
        return None
    return {"class_name": dataset.conditioning.class_name, **(dataset.conditioning.model_extra or {})}


def _conditioning(section: Mapping[str, Any], tokens: ControlTokens, scores_column: str) -> Conditioning:
    conditioning = checked_conditioning(section, tokens.names, "dataset.conditioning")
    return conditioning.measured_by(scores_column) if isinstance(conditioning, ScorePreferences) else conditioning
