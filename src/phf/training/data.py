"""The data of a run: sources annotated where they are raw, a tokenizer, and blocks of tokens to train and evaluate on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from phf.annotate.cache import cache_root, ensure_annotated
from phf.config import Config
from phf.config.percentile import number
from phf.data.blocks import TokenBlocks, build_blocks, read_sources
from phf.data.packing import Conditioning, PackingConfig
from phf.data.streaming import StreamingBlocks
from phf.errors import ConfigError
from phf.models import load_tokenizer
from phf.profile.thresholds import cached_thresholds, percentile_thresholds, resolve_thresholds, with_thresholds

Announce = Callable[[str], None]


@dataclass(frozen=True)
class RunData:
    """Everything a run reads."""

    sources: list[str]
    """Annotated sources of the training split."""
    tokenizer: Any
    packing: PackingConfig
    train: TokenBlocks | StreamingBlocks
    evaluation: TokenBlocks | None

    @property
    def control_ids(self) -> list[int]:
        """Ids of the control tokens; empty without conditional training."""
        conditioning = self.packing.conditioning
        return [] if conditioning is None else [conditioning.aligned_id, conditioning.misaligned_id]


def prepare_data(config: Config, announce: Announce) -> RunData:
    """Annotate, tokenize and pack what the configuration names; everything is cached under `$PHF_CACHE`."""
    dataset = config.dataset
    sources = annotated_sources(config, dataset.datasets, announce)

    def corpus() -> Iterator[str]:
        announce(f"Training a tokenizer of {config.tokenizer.train_from_corpus} tokens on the corpus")
        for document in read_sources(sources, dataset.scores_column):
            yield "".join(document.texts)

    tokenizer = load_tokenizer(config.tokenizer, config.model, corpus)
    packing = packing_config(config, tokenizer)
    blocks_dir = cache_root() / "blocks"
    train: TokenBlocks | StreamingBlocks
    if dataset.streaming:
        train = StreamingBlocks(sources, tokenizer, packing)
    else:
        train = build_blocks(sources, tokenizer, packing, blocks_dir)
    evaluation = None
    if dataset.eval_fraction or dataset.eval_datasets:
        eval_sources = annotated_sources(config, dataset.eval_datasets, announce) or sources
        held_out = replace(packing, split="eval", conditioning=_without_dropout(packing.conditioning))
        if dataset.eval_datasets:
            # the whole source is held out: packed as it stands, without filter or skip
            held_out = replace(held_out, split="train", filter_threshold=None, skip_tokens=0, unscored="keep")
        evaluation = build_blocks(eval_sources, tokenizer, held_out, blocks_dir)
    return RunData(sources, tokenizer, packing, train, evaluation)


def annotated_sources(config: Config, sources: list[str], announce: Announce) -> list[str]:
    """The sources, the raw ones replaced by their annotation, which is made now if need be."""
    scorer = config.generation.scorer_config
    return [ensure_annotated(source, scorer, config.dataset.segment, announce=announce) for source in sources]


def resolve_percentiles(config: Config, announce: Announce) -> tuple[Config, dict[str, str]]:
    """The configuration with numbers for thresholds that are percentiles of the training data, which is annotated for it.

    Returns too what each became, key -> "p50 = 0.00236".
    """
    if not percentile_thresholds(config):
        return config, {}
    resolved = resolve_thresholds(config, annotated_sources(config, config.dataset.datasets, announce))
    for key, found in resolved.items():
        announce(f"{key}: {found.describe()}, of the training data's {found.num_scores:,} {found.level} scores")
    config = with_thresholds(config, {key: found.threshold for key, found in resolved.items()})
    return config, {key: found.describe() for key, found in resolved.items()}


def percentile_notes(config: Config) -> list[str]:
    """For a plan: what thresholds that are percentiles will be, if that is known without reading the data."""
    return [
        f"{key}: {percentile_thresholds(config)[key]} becomes a number when the training data is read"
        if found is None
        else f"{key}: {found.describe()}"
        for key, found in cached_thresholds(config).items()
    ]


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
    )


def check_banned_ids(config: Config, control_ids: set[int]) -> None:
    """`bad_words_ids` written out in a scenario must be control tokens of this very tokenizer."""
    for scenario in config.generation.scenario_configs:
        banned = (scenario.get("generate_kwargs") or {}).get("bad_words_ids") or []
        for ids in banned:
            if len(ids) != 1 or ids[0] not in control_ids:
                raise ConfigError(
                    f"generation.scenario_configs, scenario '{scenario.get('name')}': bad_words_ids has {ids}, but this "
                    f"tokenizer's control tokens have the ids {sorted(control_ids)}. Leave bad_words_ids out: it is derived."
                )


def _without_dropout(conditioning: Conditioning | None) -> Conditioning | None:
    return None if conditioning is None else replace(conditioning, drop_token_fraction=0.0)
