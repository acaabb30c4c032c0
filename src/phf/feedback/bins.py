"""Bins of scores whose edges turned out to be equal, because many segments have the same score: merged, and reported."""

from phf.config import ConditioningConfig, Config
from phf.config.quantiles import CLASS_NAME
from phf.errors import ConfigError, CorpusError

EDGES = "edges"


def merged_bins(config: Config) -> tuple[Config, str | None]:
    """The configuration, whose edges are numbers by now, without bins that no score is in, and a sentence on what was merged.

    Bins with the same upper edge are one, which has the control token of the best of them; None where none was merged.
    Raises `CorpusError` where all bins are one, and `ConfigError` for a scenario that starts with a token that is gone.
    """
    section = config.dataset.conditioning
    if section is None or section.class_name != CLASS_NAME:
        return config, None
    edges: list[float] = list((section.model_extra or {}).get(EDGES) or [])
    tokens = section.control_tokens
    if len(edges) != len(tokens) or sorted(edges) != edges:
        return config, None  # which is refused when the method is built
    bins: dict[float, list[str]] = {}
    for edge, token in zip(edges, tokens, strict=True):
        bins.setdefault(edge, []).append(token)
    if len(bins) == len(edges):
        return config, None
    if len(bins) == 1:
        raise CorpusError(
            f"dataset.conditioning: all scored segments of the training data have the score {edges[0]:g}, so they cannot be "
            f"divided into {len(edges)} bins. Choose other data or another scorer."
        )
    _check_prefixes(config, bins)
    kept = [names[0] for names in bins.values()]
    update = ConditioningConfig.model_validate({**section.model_dump(), "control_tokens": kept, EDGES: list(bins)})
    dataset = config.dataset.model_copy(update={"conditioning": update})
    return config.model_copy(update={"dataset": dataset}), _describe(bins, len(edges))


def _describe(bins: dict[float, list[str]], number: int) -> str:
    merged = "; ".join(
        f"{', '.join(names)} end at the score {edge:g} and are one bin, {names[0]}"
        for edge, names in bins.items()
        if len(names) > 1
    )
    return f"{len(bins)} of {number} bins are left, because many scores are equal: {merged}"


def _check_prefixes(config: Config, bins: dict[float, list[str]]) -> None:
    gone = {name: names[0] for names in bins.values() for name in names[1:]}
    prefixes = {
        f"generation.scenario_configs, scenario '{scenario.name}': prefix": scenario.prefix
        for scenario in config.generation.scenario_configs
    }
    if config.kl_gpt3_callback is not None:
        prefixes["kl_gpt3_callback.prefix"] = config.kl_gpt3_callback.prefix
    for where, prefix in prefixes.items():
        if prefix in gone:
            raise ConfigError(
                f"{where} is {prefix!r}, whose bin was merged with that of {gone[prefix]!r}, because many scores of the "
                f"training data are equal. Set it to {gone[prefix]!r}, or choose fewer bins (dataset.conditioning.num_bins)."
            )
