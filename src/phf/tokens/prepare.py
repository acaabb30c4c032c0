"""From a configuration to blocks: sources annotated where they are raw, encoded once, and seen as the method says."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from phf.annotate.cache import distinct_prefixes, ensure_annotated
from phf.config import Config
from phf.corpus.dataset import check_scores
from phf.errors import ConfigError
from phf.feedback.method import method_of
from phf.feedback.schedule import score_columns
from phf.storage.cache import entry_path, keep_entry, trim
from phf.text import counted
from phf.tokens.building import Progress, build_store_with
from phf.tokens.document_start import document_start
from phf.tokens.encoded import split_hash_of
from phf.tokens.held_out_groups import describe_held_out, held_out_groups
from phf.tokens.pieces import Corpus, read_sources
from phf.tokens.store import TokenStore
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.text_tokenizer import TextTokenizer
from phf.tokens.view_settings import WHOLE, ViewSettings, opening_ids
from phf.tokens.views import Blocks

logger = logging.getLogger(__name__)
Announce = Callable[[str], None]


def annotated_sources(config: Config, sources: list[str], announce: Announce) -> list[str]:
    """The sources, the raw ones replaced by their annotation, which is made now if necessary."""
    for source in dict.fromkeys([*sources, *config.dataset.eval_datasets]):
        for column, key in score_columns(config).items():
            check_scores(source, column, key)
    scorer = config.generation.scorer_config
    prefixes = distinct_prefixes(sources)
    return [
        ensure_annotated(source, scorer, config.dataset.segment, announce=announce, prefix=prefixes.get(source, ""))
        for source in sources
    ]


def training_blocks(
    config: Config,
    tokenizer: Any,
    sources: Sequence[str],
    announce: Announce,
    progress: Progress = lambda num_documents, num_tokens: None,
) -> Blocks | StreamingBlocks:
    """What a run trains on, of annotated `sources`; `progress` is called while they are encoded."""
    settings = view_settings(config, tokenizer)
    dataset = config.dataset
    if dataset.streaming:
        corpus = replace(corpus_of(config, tokenizer, sources), more_columns=settings.more_columns)
        if corpus.eval_group is not None:
            settings = _by_groups(settings, corpus.eval_group, *_measured_groups(corpus), announce)
        return StreamingBlocks(corpus, settings)
    blocks = stored_blocks(config, tokenizer, sources, settings, progress, announce)
    _note_repeated_ids(blocks, dataset.eval_group)
    _announce_altered(blocks, "training", announce)
    return blocks


def held_out_blocks(config: Config, tokenizer: Any, sources: list[str] | None, announce: Announce) -> Blocks | None:
    """Blocks of `eval_datasets`, or of the share `eval_fraction` of `datasets`; None where neither is named.

    `sources`: the annotated `datasets`, where they are at hand. Control tokens are never dropped in held-out blocks.
    """
    dataset = config.dataset
    if not dataset.eval_fraction and not dataset.eval_datasets:
        return None
    if dataset.eval_datasets:
        sources = annotated_sources(config, dataset.eval_datasets, announce)
    elif sources is None:
        sources = annotated_sources(config, dataset.datasets, announce)
    settings = replace(view_settings(config, tokenizer), max_tokens=dataset.max_eval_tokens)
    method = settings.method.without_dropout()
    if dataset.eval_datasets:
        # the whole source is held out: packed unchanged, without filter, part or skip
        method = replace(method, document_filter=None)
        settings = replace(settings, part=WHOLE, skip_tokens=0, unscored="keep")
    else:
        settings = replace(settings, split="eval")
    blocks = stored_blocks(config, tokenizer, sources, replace(settings, method=method))
    _announce_altered(blocks, "held-out", announce)
    return blocks


def stored_blocks(
    config: Config,
    tokenizer: Any,
    sources: Sequence[str],
    settings: ViewSettings,
    progress: Progress = lambda num_documents, num_tokens: None,
    announce: Announce = lambda message: None,
) -> Blocks:
    """A view of the token store of annotated `sources`, which is built now if necessary; `announce`: which groups it holds out.

    Raises `CorpusError` where the documents do not fill one block.
    """
    corpus = corpus_of(config, tokenizer, sources)
    store = store_of(
        corpus,
        settings.more_columns,
        max_altered_documents=settings.max_altered_documents,
        backend=config.dataset.backend,
        ray_address=config.dataset.ray_address,
        progress=progress,
    )
    if corpus.eval_group is not None:
        documents = store.documents
        settings = _by_groups(settings, corpus.eval_group, documents["split_hash"], documents["num_bytes"], announce)
    blocks = Blocks(store.folder, settings)
    len(blocks)  # builds the index now, so that errors are raised here
    return blocks


def store_of(corpus: Corpus, more_columns: Sequence[str] = (), **settings: Any) -> TokenStore:
    """The store of a corpus in the cache, which is built now if necessary; see `build_store_with`."""
    folder = keep_entry(entry_path("tokens", corpus.key), f"{', '.join(corpus.sources)}, {corpus.tokenization}")
    is_new = not folder.exists()
    store = build_store_with(corpus, folder.parent, more_columns, **settings)
    if is_new:
        trim(folder.parents[1])
    return store


def corpus_of(config: Config, tokenizer: Any, sources: Sequence[str]) -> Corpus:
    """What is encoded, of annotated `sources`."""
    dataset = config.dataset
    return Corpus(
        tuple(sources),
        dataset.scores_column,
        TextTokenizer.of(tokenizer),
        dataset.tokenization,
        eval_group=dataset.eval_group if dataset.eval_fraction else None,
    )


def _by_groups(
    settings: ViewSettings, eval_group: str, groups: np.ndarray, num_bytes: np.ndarray, announce: Announce
) -> ViewSettings:
    """The settings with the groups that are held out, chosen from the group and the size of each document."""
    held_out = held_out_groups(groups, num_bytes, settings.eval_fraction)
    announce(describe_held_out(groups, num_bytes, held_out, eval_group))
    return replace(settings, held_out_groups=tuple(held_out.tolist()))


def _measured_groups(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hash of the group, int64 bytes of the text) of each document, by reading the corpus without encoding it."""
    documents = read_sources(corpus.sources, corpus.scores_column)
    rows = [(split_hash_of(one, corpus.eval_group), sum(len(text.encode()) for text in one.texts)) for one in documents]
    return np.array([group for group, _ in rows], np.uint64), np.array([size for _, size in rows], np.int64)


def view_settings(config: Config, tokenizer: Any) -> ViewSettings:
    """The settings of the view for the training split, from the `dataset` section."""
    dataset = config.dataset
    method = method_of(config)
    control_ids = tuple(method.control_tokens.ids(tokenizer))
    check_banned_ids(config, set(control_ids))
    start = document_start(tokenizer)
    opening = opening_ids(tokenizer.eos_token_id, start)
    return ViewSettings(
        opening=opening,
        num_closing=len(opening) - len(start),
        attention=dataset.attention,
        method=method,
        control_ids=control_ids,
        seq_length=dataset.seq_length,
        unscored=dataset.unscored,
        seed=config.training.seed,
        skip_tokens=dataset.skip_tokens,
        part=(dataset.part[0], dataset.part[1]),
        eval_fraction=dataset.eval_fraction,
        scores_column=dataset.scores_column,
        max_altered_documents=dataset.max_altered_documents,
    )


def check_banned_ids(config: Config, control_ids: set[int]) -> None:
    """`bad_words_ids` written out in a scenario must be control tokens of this very tokenizer, where there are any."""
    if not control_ids:
        return
    for scenario in config.generation.scenario_configs:
        banned = scenario.generate_kwargs.get("bad_words_ids") or []
        for ids in banned:
            if len(ids) != 1 or ids[0] not in control_ids:
                raise ConfigError(
                    f"generation.scenario_configs, scenario '{scenario.name}': bad_words_ids has {ids}, but this "
                    f"tokenizer's control tokens have the ids {sorted(control_ids)}. Leave bad_words_ids out: it is derived."
                )


def _announce_altered(blocks: Blocks, split: str, announce: Announce) -> None:
    counts = blocks.counts
    if counts.num_documents_altered:
        announce(
            f"The tokenizer changes the text of {counts.num_documents_altered:,} of "
            f"{counted(counts.num_documents, f'{split} document')} (characters that it lacks, or its sign for a space)"
        )


def _note_repeated_ids(blocks: Blocks, eval_group: str | None) -> None:
    meta = blocks.store.meta
    if blocks.settings.eval_fraction and eval_group is None and meta["num_repeated_ids"]:
        logger.warning(
            "%s of %s documents have the id of an earlier one. dataset.eval_fraction chooses by ids: documents of one id are "
            "held out together, or not at all.",
            f"{meta['num_repeated_ids']:,}",
            f"{meta['num_documents']:,}",
        )
