"""One idea, one key: what the control tokens of the `dataset` section imply is filled in, or checked if spelled out."""

import re

from phf.config.levels import LevelError, Levels, best_prefix, prefix_of
from phf.config.percentile import parse_threshold
from phf.config.preferences import levels_of
from phf.config.schema import (
    ConditionalTrainingConfig,
    ConditioningConfig,
    Config,
    DatasetConfig,
    KLConfig,
    ScenarioConfig,
)
from phf.errors import ConfigError
from phf.storage.reading import short

Tagging = ConditionalTrainingConfig | ConditioningConfig
RELEASED_TAGGING = "dataset.conditional_training_config"


def derive(config: Config, *, for_models: bool = False) -> Config:
    """Fill in the keys that others imply. Raises `ConfigError` for keys that contradict one another.

    `for_models`: the task is for models with their own control tokens, so scenarios may name any.
    """
    _check_sources(config)
    _check_score_threshold(config)
    _check_kl_reference(config)
    _check_alternatives(config.dataset)
    tagging = config.dataset.tagging
    if tagging is None:
        if not for_models:
            _check_unconditional(config)
        return config
    key = f"dataset.{tagging_key(config.dataset)}"
    tokens = tagging.control_tokens
    if "" in tokens or len({*tokens}) < len(tokens):
        names = "aligned_prefix and misaligned_prefix" if key == RELEASED_TAGGING else "control_tokens"
        raise ConfigError(f"{key}: {names} must be different strings, none of them empty, not {_listed(tokens)}.")
    if tagging.placement != "before_segment":
        _check_placement(config, tagging, key, for_models=for_models)
    levels = levels_of(tagging)
    best, prefer = best_prefix(levels), config.generation.prefer
    if prefer is not None and not for_models:
        prefer = _prefix(prefer, f"generation.prefer is {prefer!r}, which", levels, key)
    # what `prefer` says is filled in where samples are drawn, so that it can be changed for a model that is trained already
    starts_texts = tagging.placement != "after_segment"
    default = best if (prefer is None or for_models) and starts_texts else None
    scenarios = [_derive_scenario(scenario, levels, default, key) for scenario in config.generation.scenario_configs]
    may_tag = tagging.tag_every_segment_when_sampling
    if may_tag is None:
        written = [scenario.generate_kwargs["bad_words_ids"] for scenario in scenarios if _bans(scenario)]
        may_repeat = tagging.placement == "before_segment" and bool(written)
        may_tag = (may_repeat or not starts_texts) and all(len(ids) < len(tokens) for ids in written)
    tagging = tagging.model_copy(update={"tag_every_segment_when_sampling": may_tag})
    return config.model_copy(
        update={
            "dataset": config.dataset.model_copy(update={tagging_key(config.dataset): tagging}),
            "generation": config.generation.model_copy(update={"scenario_configs": scenarios, "prefer": prefer}),
            "kl_gpt3_callback": _derive_kl(config.kl_gpt3_callback, levels, default or prefer, key, may_tag),
        }
    )


def _check_placement(config: Config, tagging: Tagging, key: str, *, for_models: bool) -> None:
    """Raises `ConfigError` for what needs a control token in front of each segment, or of each text, where there is none.

    `for_models`: the scenarios are those of models with their own control tokens.
    """
    where = f"{key}.placement is {tagging.placement}"
    is_after = tagging.placement == "after_segment"
    kl = None if for_models else config.kl_gpt3_callback
    repeated = {
        f"{key}.tag_every_segment_when_sampling": tagging.tag_every_segment_when_sampling and not is_after,
        "kl_gpt3_callback.should_insert_prefix": kl is not None and kl.should_insert_prefix,
    }
    for name, is_repeated in repeated.items():
        if is_repeated:
            raise ConfigError(
                f"{name} is true, but {where}: in training, no control token is repeated in front of later segments. Set it to "
                "false."
            )
    if not is_after or for_models:
        return
    levels = levels_of(tagging)
    asked = {
        "generation.prefer": config.generation.prefer,
        "kl_gpt3_callback.prefix": None if kl is None else kl.prefix,
    }
    for scenario in config.generation.scenario_configs:
        start = f"generation.scenario_configs, scenario '{scenario.name}':"
        asked[f"{start} prefix"] = scenario.prefix
        asked[f"{start} guidance_scale"] = None if scenario.guidance_scale is None else f"{scenario.guidance_scale:g}"
    for what, value in asked.items():
        is_none = value is None or (not what.endswith("scale") and not _prefix(value, f"{what} {value!r}", levels, key))
        if not is_none:
            raise ConfigError(
                f"{what} is {value!r}, but {where}: the control tokens follow the segments that they are about, so none begins "
                "a text. Leave it out: texts are sampled without one. Or choose another placement."
            )


def tagging_key(dataset: DatasetConfig) -> str:
    """The key of the section that `dataset.tagging` is."""
    return "conditioning" if dataset.conditional_training_config is None else "conditional_training_config"


def _prefix(request: str, what: str, levels: Levels, key: str) -> str:
    """The control tokens that a request stands for. Raises `ConfigError`, which begins with `what` was asked for."""
    try:
        return prefix_of(request, levels)
    except LevelError as error:
        if [*levels] != [""]:
            raise ConfigError(f"{what} is not a choice of levels of {key}: {error}.") from None
    tokens = [*levels[""]]
    raise ConfigError(
        f"{what} is not a control token of {key} ({_listed(tokens)}). Leave it out for {tokens[0]!r}, the best one, or write "
        '"" for none.'
    )


def _derive_scenario(scenario: ScenarioConfig, levels: Levels, default: str | None, key: str) -> ScenarioConfig:
    what = f"generation.scenario_configs, scenario '{scenario.name}': prefix {scenario.prefix!r}"
    prefix = default if scenario.prefix is None else _prefix(scenario.prefix, what, levels, key)
    return scenario.model_copy(update={"prefix": prefix})


def _derive_kl(kl: KLConfig | None, levels: Levels, default: str | None, key: str, may_tag: bool) -> KLConfig | None:
    if kl is None:
        return None
    what = f"kl_gpt3_callback.prefix is {kl.prefix!r}, which"
    prefix = default if kl.prefix is None else _prefix(kl.prefix, what, levels, key)
    inserts = may_tag if kl.should_insert_prefix is None else kl.should_insert_prefix
    return kl.model_copy(update={"prefix": prefix, "should_insert_prefix": inserts and bool(prefix)})


def _listed(tokens: list[str]) -> str:
    return ", ".join(map(repr, tokens))


def _check_alternatives(dataset: DatasetConfig) -> None:
    for released, own in (("filter_threshold", "document_filter"), ("conditional_training_config", "conditioning")):
        if getattr(dataset, released) is not None and getattr(dataset, own) is not None:
            raise ConfigError(f"dataset.{released} and dataset.{own} are both set; set one of them to null.")


def _bans(scenario: ScenarioConfig) -> bool:
    banned = scenario.generate_kwargs.get("bad_words_ids")
    if banned is not None and not isinstance(banned, list):
        raise ConfigError(
            f"generation.scenario_configs, scenario '{scenario.name}': generate_kwargs.bad_words_ids is {short(repr(banned))}; "
            "a list of lists of ids was expected. Leave it out: control tokens are never sampled."
        )
    return bool(banned)


def _check_unconditional(config: Config) -> None:
    if config.generation.prefer:
        raise ConfigError(
            f"generation.prefer is {config.generation.prefer!r}, which needs control tokens; set "
            "dataset.conditional_training_config or dataset.conditioning, or leave it out."
        )
    for scenario in config.generation.scenario_configs:
        if scenario.prefix:
            raise ConfigError(
                f"generation.scenario_configs, scenario '{scenario.name}': prefix {scenario.prefix!r} needs "
                "control tokens; set dataset.conditional_training_config or dataset.conditioning, or leave the prefix out."
            )
    kl = config.kl_gpt3_callback
    if kl is not None and (kl.prefix or kl.should_insert_prefix):
        raise ConfigError(
            "kl_gpt3_callback.prefix and should_insert_prefix need control tokens; set "
            "dataset.conditional_training_config or dataset.conditioning, or leave them out."
        )


def _check_kl_reference(config: Config) -> None:
    if config.kl_gpt3_callback is None or config.kl_gpt3_callback.reference is None:
        return
    where, reference = "kl_gpt3_callback.reference", config.kl_gpt3_callback.reference
    is_local, is_served = reference.path_or_name is not None, reference.base_url is not None
    if is_local == is_served:
        raise ConfigError(f"{where}: set either path_or_name, for a local LM, or base_url and model, for a served one.")
    if is_served and (reference.model is None or reference.revision is not None):
        raise ConfigError(f"{where}: with base_url, set model to the server's name for it, and no revision.")
    if is_local and reference.model is not None:
        raise ConfigError(f"{where}: model is a server's name for it; with path_or_name, leave it out.")
    # neither value is shown: it may be the secret itself
    if reference.base_url is not None and "@" in reference.base_url:
        raise ConfigError(f"{where}.base_url holds a user name or password; secrets are not kept in configurations.")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", reference.api_key_env):
        raise ConfigError(
            f"{where}.api_key_env must be the name of an environment variable; secrets are not kept in configurations."
        )


def _check_score_threshold(config: Config) -> None:
    threshold = config.objective.get("score_threshold")
    try:
        parse_threshold(threshold)
    except ValueError as error:
        raise ConfigError(f"objective.score_threshold is {threshold!r}: {error}.") from None


def _check_sources(config: Config) -> None:
    tokenizer, model = config.tokenizer, config.model
    if (tokenizer.path_or_name is None) == (tokenizer.train_from_corpus is None) and tokenizer.path_or_name is not None:
        raise ConfigError(
            "tokenizer.path_or_name and tokenizer.train_from_corpus are both set; set one of them to null."
        )
    if model.path_or_name is None and model.model_type is None:
        raise ConfigError("model: set path_or_name, or model_type for a model from scratch.")
    if model.path_or_name is not None and model.model_type is not None:
        raise ConfigError("model.path_or_name and model.model_type are both set; set one of them to null.")
    if model.path_or_name is None and not model.from_scratch:
        raise ConfigError("model.from_scratch is false, so model.path_or_name must name the pretrained model.")
    if config.dataset.eval_fraction and config.dataset.eval_datasets:
        raise ConfigError("dataset.eval_fraction and dataset.eval_datasets are both set; set one of them.")
    secrets = [key for key in (config.training.model_extra or {}) if "token" in key and key.startswith("hub")]
    if secrets:
        raise ConfigError(f"training.{secrets[0]}: secrets are not kept in configurations; set HF_TOKEN instead.")
