"""The data of a run: annotated sources, a tokenizer, and blocks of tokens to train and evaluate on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.corpus.sources.documents import AnnotatedDocument
from phf.feedback import ControlTokens, control_tokens_of
from phf.feedback.bins import check_tokens_of_phases, merged_bins
from phf.feedback.objectives import Objective
from phf.feedback.schedule import (
    first_with_same_view,
    phase_configs,
    phases_that_became_same,
    with_phase_configs,
)
from phf.feedback.thresholds import cached_thresholds, percentile_thresholds, resolve_thresholds, with_thresholds
from phf.models import load_tokenizer
from phf.storage.hashing import hash64, sample_by_hash
from phf.text import counted
from phf.tokens.building import Progress
from phf.tokens.pieces import read_sources
from phf.tokens.prepare import (
    Announce,
    annotated_sources,
    held_out_blocks,
    stored_blocks,
    training_blocks,
    view_settings,
)
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks


@dataclass(frozen=True)
class RunData:
    """Everything a run reads."""

    sources: list[str]
    """Annotated sources of the training split."""
    tokenizer: Any
    views: list[Blocks | StreamingBlocks]
    """What each phase trains on; the same object where phases see the corpus in the same way."""
    evaluation: Blocks | None
    control_ids: list[int]
    """Ids of the control tokens; empty for a method without any."""

    @property
    def train(self) -> Blocks | StreamingBlocks:
        """What the run, or its first phase, trains on."""
        return self.views[0]


def prepare_data(
    config: Config,
    announce: Announce,
    tokenizer_dir: Path | None = None,
    progress: Announce = lambda message: None,
    check_tokenizer: Callable[[Any], None] = lambda tokenizer: None,
) -> RunData:
    """Annotate and encode the sources of the configuration; everything is cached under `$PHF_CACHE`.

    `tokenizer_dir`: where a tokenizer that is trained on the corpus is kept, so that a resumed run does not have to.
    `progress`: called often, with the current activity and its progress. `check_tokenizer`: called before anything is
    encoded.
    """
    dataset = config.dataset
    sources = annotated_sources(config, dataset.datasets, announce)

    def corpus() -> Iterable[str]:
        announce(f"Training a tokenizer of {config.tokenizer.train_from_corpus} tokens on the corpus")
        documents = read_sources(sources, dataset.scores_column)
        return tokenizer_texts(documents, config.tokenizer.max_train_chars, progress)

    def encoded(num_documents: int, num_tokens: int) -> None:
        progress(f"encoding: {counted(num_documents, 'document')}, {counted(num_tokens, 'token')}")

    control_tokens = control_tokens_of(dataset)
    tokenizer = load_tokenizer(config.tokenizer, config.model, corpus, control_tokens, tokenizer_dir)
    check_tokenizer(tokenizer)
    views = _views(config, tokenizer, sources, announce, encoded)
    for sentence in unlearned_tokens(views, control_tokens):
        announce(sentence)
    evaluation = held_out_blocks(config, tokenizer, sources, announce)
    return RunData(sources, tokenizer, views, evaluation, control_tokens.ids(tokenizer))


def _views(
    config: Config, tokenizer: Any, sources: list[str], announce: Announce, encoded: Progress
) -> list[Blocks | StreamingBlocks]:
    """What each phase trains on. What phases have in common is announced once."""
    views: list[Blocks | StreamingBlocks] = []
    for own, number in zip(phase_configs(config), first_with_same_view(config), strict=True):
        if number < len(views):
            views.append(views[number])
        elif not views:
            views.append(training_blocks(own, tokenizer, sources, announce, encoded))
        else:
            views.append(stored_blocks(own, tokenizer, sources, view_settings(own, tokenizer)))
    return views


def unlearned_tokens(views: Sequence[Blocks | StreamingBlocks], control_tokens: ControlTokens) -> list[str]:
    """A sentence for each control token that no segment has in any phase, which is not known of a stream.

    A preference whose tokens are all left out on purpose has none.
    """
    counts: Counter[str] = Counter()
    for view in views:
        if not isinstance(view, Blocks):
            return []
        method = view.settings.method
        counts.update(dict(zip(method.control_tokens, view.counts.num_tagged_segments, strict=True)))
        counts.update(
            {name: 1 for one in method.preferences if one.drop_token_fraction == 1 for name in one.control_tokens}
        )
    best = {tokens[0] for tokens in control_tokens.levels.values()}
    return [
        f"Warning: no segment of the training data has the control token {name}, so the model cannot learn it"
        f"{', although texts start from it' if name in best else ''}. phf profile shows the scores; set another threshold."
        for name in control_tokens
        if not counts[name]
    ]


def tokenizer_texts(
    documents: Iterable[AnnotatedDocument], max_chars: int | None, progress: Announce = lambda message: None
) -> Iterable[str]:
    """What a tokenizer is trained on: the text of each document or, of a corpus of more than `max_chars`, documents with
    the smallest hashes of their ids that together have that many characters or a little more. None of them is longer.
    """

    def texts() -> Iterator[tuple[int, str]]:
        for number, document in enumerate(documents):
            progress(f"training a tokenizer: {counted(number, 'document')} read")
            yield hash64("tokenizer", document.id), "".join(document.texts)[:max_chars]

    if max_chars is None:
        return (text for _, text in texts())
    return sample_by_hash(((key, len(text), text) for key, text in texts()), max_chars)


def check_scores(train: Blocks | StreamingBlocks, objective: Objective) -> None:
    """Raises `CorpusError` for a score that the objective of a phase cannot use. Streamed blocks are checked as they come."""
    if objective.score_range is not None and isinstance(train, Blocks):
        for scores in train.score_batches():
            objective.check_scores(scores, "the training data")


def resolve_percentiles(config: Config, announce: Announce) -> tuple[Config, dict[str, str]]:
    """The configuration with numbers for thresholds that are percentiles of the training data, which is annotated for it.

    Also returns the value of each, key -> "p50 = 0.00236", and which bins of `dataset.conditioning` were merged.
    """
    if not percentile_thresholds(config):
        return config, {}
    resolved = resolve_thresholds(config, annotated_sources(config, config.dataset.datasets, announce))
    for key, threshold in resolved.items():
        announce(
            f"{key}: {threshold.describe()}, of the training data's {threshold.num_scores:,} {threshold.level} scores"
        )
    written = config
    config = with_thresholds(config, {key: threshold.threshold for key, threshold in resolved.items()})
    percentiles = {key: threshold.describe() for key, threshold in resolved.items()}
    configs = []
    for number, own in enumerate(phase_configs(config)):
        own, merged = merged_bins(own)
        configs.append(own)
        if merged is not None:
            key = f"schedule.{number}.dataset.conditioning" if config.schedule else "dataset.conditioning"
            announce(f"{key}: {merged}")
            percentiles[key] = merged
    if config.schedule:
        check_tokens_of_phases(config, configs)
        for sentence in phases_that_became_same(written, configs):
            announce(sentence)
    return with_phase_configs(config, configs), percentiles


def percentile_notes(config: Config) -> list[str]:
    """For a plan: the values of thresholds that are percentiles, if known without reading the data."""
    return [
        f"{key}: {percentile_thresholds(config)[key]} becomes a number when the training data is read"
        if threshold is None
        else f"{key}: {threshold.describe()}"
        for key, threshold in cached_thresholds(config).items()
    ]
