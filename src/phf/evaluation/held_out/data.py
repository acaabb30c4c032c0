"""The held-out documents of a task as blocks of tokens, made the same way in training and in `phf evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from phf.annotate.cache import distinct_prefixes, ensure_annotated
from phf.config import Config
from phf.config.percentile import number
from phf.corpus.dataset import check_scores
from phf.errors import ConfigError
from phf.evaluation.held_out.loss import held_out_loss
from phf.storage.cache import cache_root
from phf.tokens.blocks import TokenBlocks, build_blocks
from phf.tokens.document_start import document_start
from phf.tokens.packing import Conditioning, PackingConfig

Announce = Callable[[str], None]


def annotated_sources(config: Config, sources: list[str], announce: Announce) -> list[str]:
    """The sources, the raw ones replaced by their annotation, which is made now if need be."""
    for source in dict.fromkeys([*sources, *config.dataset.eval_datasets]):
        check_scores(source, config.dataset.scores_column)
    scorer = config.generation.scorer_config
    prefixes = distinct_prefixes(sources)
    return [
        ensure_annotated(source, scorer, config.dataset.segment, announce=announce, prefix=prefixes.get(source, ""))
        for source in sources
    ]


def held_out_blocks(
    config: Config, tokenizer: Any, sources: list[str] | None, announce: Announce
) -> TokenBlocks | None:
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
    packing = packing_config(config, tokenizer)
    packing = replace(packing, split="eval", conditioning=_without_dropout(packing.conditioning))
    if dataset.eval_datasets:
        # the whole source is held out: packed as it stands, without filter or skip
        packing = replace(packing, split="train", filter_threshold=None, skip_tokens=0, unscored="keep")
    blocks = build_blocks(sources, tokenizer, packing, cache_root() / "blocks")
    announce_altered(blocks, "held-out", announce)
    return blocks


def announce_altered(blocks: TokenBlocks, split: str, announce: Announce) -> None:
    """Say how many documents the tokenizer changed, if any."""
    counts = blocks.counts
    if counts.num_documents_altered:
        announce(
            f"The tokenizer changes the text of {counts.num_documents_altered:,} of {counts.num_documents:,} {split} "
            "documents (characters that it lacks, or its sign for a space)"
        )


def held_out_numbers(
    module: Any,
    blocks: TokenBlocks,
    tokenizer: Any,
    control_ids: Sequence[int],
    *,
    threshold: float,
    batch_size: int,
    max_tokens: int,
) -> dict[str, float]:
    """`held_out_loss` on packed blocks, which know how many bytes of text their tokens stand for."""
    return held_out_loss(
        module,
        blocks,
        threshold=threshold,
        control_ids=control_ids,
        eos_id=tokenizer.eos_token_id,
        start_ids=document_start(tokenizer),
        bytes_per_text_token=blocks.counts.num_bytes / max(blocks.counts.num_text_tokens, 1),
        batch_size=batch_size,
        max_tokens=max_tokens,
        with_tag_gain=True,
    )


def packing_config(config: Config, tokenizer: Any) -> PackingConfig:
    """The packing settings that the `dataset` section says."""
    dataset = config.dataset
    conditional = dataset.conditional_training_config
    conditioning = None
    if conditional is not None:
        aligned, misaligned = tokenizer.convert_tokens_to_ids(
            [conditional.aligned_prefix, conditional.misaligned_prefix]
        )
        conditioning = Conditioning(
            threshold=number(conditional.threshold),
            aligned_id=aligned,
            misaligned_id=misaligned,
            drop_token_fraction=conditional.drop_token_fraction,
        )
        check_banned_ids(config, {aligned, misaligned})
    return PackingConfig(
        seq_length=dataset.seq_length,
        tokenization=dataset.tokenization,
        conditioning=conditioning,
        filter_threshold=None if dataset.filter_threshold is None else number(dataset.filter_threshold),
        unscored=dataset.unscored,
        seed=config.training.seed,
        skip_tokens=dataset.skip_tokens,
        eval_fraction=dataset.eval_fraction,
        scores_column=dataset.scores_column,
        document_start=tuple(document_start(tokenizer)),
        max_altered_documents=dataset.max_altered_documents,
    )


def check_banned_ids(config: Config, control_ids: set[int]) -> None:
    """`bad_words_ids` written out in a scenario must be control tokens of this very tokenizer."""
    for scenario in config.generation.scenario_configs:
        banned = scenario.generate_kwargs.get("bad_words_ids") or []
        for ids in banned:
            if len(ids) != 1 or ids[0] not in control_ids:
                raise ConfigError(
                    f"generation.scenario_configs, scenario '{scenario.name}': bad_words_ids has {ids}, but this "
                    f"tokenizer's control tokens have the ids {sorted(control_ids)}. Leave bad_words_ids out: it is derived."
                )


def _without_dropout(conditioning: Conditioning | None) -> Conditioning | None:
    return None if conditioning is None else replace(conditioning, drop_token_fraction=0.0)
