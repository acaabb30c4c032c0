"""The typed schema of the YAML files: one class a section, each key documented where it is declared.

Sections and keys are those of the released system, so its own files load as they are. Keys that only say again what
another key implies may be left out (they are derived in `phf.config.derive`) or written out (they are checked).
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phf.config.percentile import Threshold


class Section(BaseModel):
    """Base of every section: an unknown key is an error, and nothing is changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class ConditionalTrainingConfig(Section):
    """Conditional training: a control token before each segment says which side of the threshold its score is on."""

    threshold: Threshold
    """A segment is aligned iff its score <= threshold. `p5`: the 5th percentile of the segments' scores."""
    aligned_prefix: str = "<|aligned|>"
    """Control token of aligned segments; also the prefix that samples are generated from."""
    misaligned_prefix: str = "<|misaligned|>"
    """Control token of misaligned segments."""
    drop_token_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of segments that go without their control token."""
    tag_every_segment_when_sampling: bool | None = None
    """Whether a model that was prompted with one control token may emit it again before later segments, as it did in
    training. The other control token is always banned. None: whatever `bad_words_ids` of the scenarios say, else False."""


class DatasetConfig(Section):
    """The training data and how it becomes blocks of tokens."""

    datasets: list[str] = Field(min_length=1)
    """Sources: Hub names, saved datasets, Parquet or JSON Lines files, folders or globs, folders of text files, or
    `python-stdlib`. Raw documents are scored first with the task's scorer."""
    is_split_by_sentences: bool = True
    """Segments have scores of their own. False joins each document to one segment with its average score."""
    segment: str | None = Field(default=None, pattern=r"^(lines|document|sentences(:[a-z]{2})?)$")
    """How raw documents are cut before scoring: lines, sentences, sentences:LANGUAGE (en, de, es, fr, or xx for any)
    or document. None: the scorer's own way."""
    scores_column: str = "scores"
    """Column of an annotated dataset that holds the scores."""
    seq_length: int = Field(default=1024, ge=2)
    """Tokens in a block."""
    tokenization: Literal["segments", "document"] = "segments"
    """Encode each segment apart (the released behaviour), or whole documents, as prompts are encoded later."""
    filter_threshold: Threshold | None = None
    """Filtering: keep the documents whose avg_score <= filter_threshold. `p50`: the median of the documents' avg_score."""
    conditional_training_config: ConditionalTrainingConfig | None = None
    """Conditional training, if set."""
    unscored: Literal["keep", "drop"] = "keep"
    """What to do with a document that has an unscored segment: train on that segment without feedback, or drop it."""
    skip_tokens: int = Field(default=0, ge=0)
    """Skip this many tokens from the start of the corpus, counted in stored order, unfiltered and untagged."""
    eval_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of documents held out, chosen by document id: the same ones for every method and seed."""
    eval_datasets: list[str] = []
    """Held-out sources, instead of `eval_fraction`."""
    max_eval_tokens: int = Field(default=1_000_000, ge=1)
    """At most this many held-out tokens are used in one evaluation."""
    streaming: bool = False
    """Pack while training instead of caching blocks on disk: for a corpus that does not fit."""
    concat_token: str | None = None
    """Released key; only the tokenizer's EOS is supported."""
    num_of_sequences: int = 1024
    """Released key, without effect: the packer has no buffer to size."""
    chars_per_token: float = 3.6
    """Released key, without effect: the packer has no buffer to size."""


class TokenizerConfig(Section):
    """The tokenizer: a pretrained one, or one trained on the corpus."""

    path_or_name: str | None = None
    """Folder or Hub name."""
    train_from_corpus: int | None = Field(default=None, ge=300)
    """Train a byte-level BPE of this vocabulary size on the corpus instead."""
    special_tokens: list[str] | None = None
    """Derived from the control tokens; written out, it must agree with them."""


class ModelConfig(Section):
    """The causal language model."""

    path_or_name: str | None = None
    """Folder or Hub name of a model, or with `from_scratch` of its configuration."""
    model_type: str | None = None
    """Architecture of a from-scratch model when no configuration is named, e.g. `gpt2`, `llama`."""
    from_scratch: bool = True
    """Initialise at random from the configuration, or start from the pretrained weights."""
    config_kwargs: dict[str, Any] = {}
    """Changes to the model's configuration, e.g. `{n_layer: 4}`; an unknown key is an error."""
    gpt2_config_kwargs: dict[str, Any] = {}
    """Released name of `config_kwargs`; both are applied."""
    model_kwargs: dict[str, Any] = {}
    """`value_head_config: {is_detached: bool}`, and arguments of `from_pretrained` such as `revision`."""
    num_additional_tokens: int | None = None
    """Derived from the control tokens; written out, it must agree with them."""
    head: Literal["auto", "chunked", "dense"] = "auto"
    """How loss and gradient are computed; `auto` is chunked wherever the model's head is a plain matrix product."""


class TrainingConfig(Section):
    """Hugging Face `TrainingArguments`, by their own names, and these keys."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    effective_batch_size: int | None = Field(default=None, ge=1)
    """Blocks in an optimiser step, over all processes; gradient accumulation is worked out from it."""
    num_tokens: float | None = Field(default=None, gt=0)
    """Tokens to train on, those already seen included; sets max_steps."""
    tokens_already_seen: float = Field(default=0, ge=0)
    """Tokens that the starting model was trained on before."""
    seed: int = Field(default=42, ge=0)
    """Seed of initialisation, dropout, data order and control-token dropout."""


class GenerationConfig(Section):
    """What is sampled from the model, and how the samples are scored."""

    scorer_config: dict[str, Any]
    """`class_name` and settings of the scorer; the same scorer annotates raw documents."""
    metrics_configs: list[dict[str, Any]] = []
    """Metrics over all samples of a scenario, each `class_name` and settings."""
    scenario_configs: list[dict[str, Any]] = []
    """Generation scenarios; see `phf.evaluation.scenarios.GenerationScenario` for the keys."""
    batch_size: int = Field(default=512, ge=1)
    """Samples generated at once."""
    every_n_steps: int = Field(default=1000, ge=1)
    """Generate at every step that is a multiple of this."""
    force_call_on: list[int] = []
    """Generate at these steps too."""
    run_on_train_start: bool = True
    """Generate before the first step."""
    run_on_train_end: bool = True
    """Generate after the last step."""


class Config(Section):
    """A whole configuration: a task (data, scorer, evaluation) merged with a method (how scores are used)."""

    task: str | None = None
    """Name or path of the task file this came from; for people and reports."""
    method: str | None = None
    """Name or path of the method file this came from; for people and reports."""
    dataset: DatasetConfig
    tokenizer: TokenizerConfig
    model: ModelConfig
    objective: dict[str, Any] = {"name": "MLE"}
    """`name` of the objective and its settings. `score_threshold: p5`: the 5th percentile of the segments' scores."""
    training: TrainingConfig
    generation: GenerationConfig
    kl_gpt3_callback: dict[str, Any] | None = None
    """KL from a reference LM. Read, but not measured by this version."""
