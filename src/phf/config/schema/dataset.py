"""The section `dataset`: the training data and how it becomes blocks of tokens."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from phf.config.percentile import Threshold
from phf.config.schema.section import Section

Placement = Literal["before_segment", "on_change", "before_document", "after_segment"]


def _ascending(part: list[float]) -> list[float]:
    if not 0 <= part[0] < part[1] <= 1:
        raise ValueError("a part is [start, end] with 0 <= start < end <= 1")
    return part


class ConditionalTrainingConfig(Section):
    """Conditional training: a control token before each segment says on which side of the threshold its score is."""

    threshold: Threshold
    """A segment is aligned iff its score <= threshold. `p5`: the 5th percentile of the segments' scores."""
    aligned_prefix: str = "<|aligned|>"
    """Control token of aligned segments; also the prefix that samples are generated from."""
    misaligned_prefix: str = "<|misaligned|>"
    """Control token of misaligned segments."""
    drop_token_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of segments that do not get their control token."""
    loss_on_control_tokens: bool = True
    """Whether control tokens are targets, as in the paper. False: the model reads them, and is not trained to predict them."""
    placement: Placement = "before_segment"
    """Where control tokens stand. `before_segment`: in front of each segment, as in the paper. `on_change`: in front of a
    segment whose level is not that of the segments before it in its document. `before_document`: once, at the start of a
    document, chosen by its average score. `after_segment`: after each segment; then texts begin without one."""
    tag_every_segment_when_sampling: bool | None = None
    """Whether a model that was prompted with one control token may emit it again before later segments, as it did in
    training. The other control token is always banned. None: what `bad_words_ids` of the scenarios imply, or False. With
    `placement: after_segment`: whether it may emit any of them; None: True."""

    @property
    def control_tokens(self) -> list[str]:
        """Both, best first."""
        return [self.aligned_prefix, self.misaligned_prefix]


class ConditioningConfig(Section):
    """Conditional training with any number of control tokens, one of which a class chooses for each segment by its score."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    class_name: str
    """`ScoreThresholds` with ascending `thresholds`, or your own as `package.module:Name`. Other keys are its settings,
    among which `p5` is the 5th percentile of the segments' scores. `kind: quantiles` with `num_bins`, instead, stands for
    `ScoreQuantiles` with as many bins of equally many segments of the training data, and a control token for each; and
    `preferences`, a list with a `name`, a `scores_column` and such settings each, for several control tokens at once."""
    control_tokens: list[str] = Field(min_length=1)
    """Control tokens, best first; samples are generated from the first one."""
    drop_token_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of segments that do not get their control token."""
    loss_on_control_tokens: bool = True
    """Whether control tokens are targets, as in the paper. False: the model reads them, and is not trained to predict them."""
    placement: Placement = "before_segment"
    """Where control tokens stand. `before_segment`: in front of each segment, as in the paper. `on_change`: in front of a
    segment whose level is not that of the segments before it in its document. `before_document`: once, at the start of a
    document, chosen by its average score. `after_segment`: after each segment; then texts begin without one."""
    tag_every_segment_when_sampling: bool | None = None
    """Whether a model that was prompted with a control token may emit it again before later segments, as it did in
    training. The others are always banned. None: what `bad_words_ids` of the scenarios imply, or False. With
    `placement: after_segment`: whether it may emit any of them; None: True."""


class DatasetConfig(Section):
    """The training data and how it becomes blocks of tokens."""

    datasets: list[str] = Field(min_length=1)
    """Sources: Hub names, saved datasets, Parquet or JSON Lines files, folders or globs, folders of text files,
    `python-stdlib`, `python-packages` or, a sample of that, `python-packages:32MB`. Raw documents are scored first with the
    task's scorer."""
    segment: str | None = Field(default=None, pattern=r"^(lines|document|sentences(:[a-z]{2})?)$")
    """How raw documents are cut before scoring: lines, sentences, sentences:LANGUAGE (en, de, es, fr, zh, ja, th, or
    xx for any) or document. None: the scorer's own way."""
    scores_column: str = "scores"
    """Column of an annotated dataset that holds the scores."""
    seq_length: int = Field(default=1024, ge=2)
    """Tokens in a block."""
    attention: Literal["packed", "document"] = "packed"
    """What a token may look at: all earlier tokens of its block (the paper's way), or only those of its own document."""
    tokenization: Literal["segments", "document"] = "segments"
    """Encode each segment separately (the released behaviour), or whole documents, as prompts are encoded later."""
    filter_threshold: Threshold | None = None
    """Filtering: keep the documents whose avg_score <= filter_threshold. `p50`: the median of the documents' avg_score."""
    document_filter: dict[str, Any] | None = None
    """Your own filter, instead of `filter_threshold`: `class_name: package.module:Name` and its settings, among which
    `p50` is the median of the documents' avg_score."""
    conditional_training_config: ConditionalTrainingConfig | None = None
    """Conditional training with two control tokens, if set."""
    conditioning: ConditioningConfig | None = None
    """Conditional training with any number of control tokens, or by your own class, if set."""
    hidden_threshold: Threshold | None = None
    """Hiding: segments whose score is greater than this are learned, but hidden from what follows them. `p50`: the median
    of the segments' scores."""
    unscored: Literal["keep", "drop"] = "keep"
    """What to do with a document that has an unscored segment: train on that segment without feedback, or drop it."""
    skip_tokens: int = Field(default=0, ge=0)
    """Skip this many tokens from the start of the corpus, in stored order, before filtering and without control tokens."""
    part: Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ascending)] = [0.0, 1.0]
    """Train on the documents whose random number in [0, 1), which depends on their id and `training.seed`, is at least the
    first and below the second of these. Parts that do not overlap have no document in common, in whichever order the corpus
    is stored."""
    eval_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of documents held out, chosen by document id: the same for every method and seed. With `eval_group`, the share
    of text."""
    eval_group: str | None = Field(default=None, min_length=1)
    """Key of the documents' `meta`, such as `package`: documents of one value are held out together, or not at all. Of
    the values with little text each, as many as have the share `eval_fraction` of all text are held out, chosen by hashes.
    None: each document by itself."""
    eval_datasets: list[str] = []
    """Held-out sources, instead of `eval_fraction`."""
    max_eval_tokens: int = Field(default=1_000_000, ge=1)
    """Of the held-out documents, as many as have at most this many tokens are used, but at least as many as fill a block:
    the same for every method and seed."""
    max_altered_documents: float = Field(default=0.01, ge=0.0, le=1.0)
    """Largest share of documents that the tokenizer may change (characters it lacks, lower-casing) without being refused."""
    streaming: bool = False
    """Pack while training instead of caching blocks on disk: for a corpus whose tokens do not fit on disk."""
    backend: Literal["local", "ray"] = "local"
    """Which processes encode the corpus: those of this machine, or actors of a Ray cluster whose nodes see the annotated
    sources under the same paths. With `streaming` it is always this machine."""
    ray_address: str | None = None
    """Address of an existing Ray cluster, HOST:PORT. None: one that is started on this machine."""

    @property
    def tagging(self) -> ConditionalTrainingConfig | ConditioningConfig | None:
        """The section on control tokens; None without conditional training."""
        return self.conditional_training_config or self.conditioning
