"""Bins of scores whose edges turned out to be equal, because many segments have the same score: merged, and reported."""

from collections.abc import Mapping, Sequence
from typing import Any

from phf.config import ConditioningConfig, Config
from phf.config.preferences import CONDITIONING, PREFERENCES, preferences_of
from phf.config.quantiles import CLASS_NAME
from phf.errors import ConfigError, CorpusError
from phf.feedback.control_tokens import ControlTokens
from phf.feedback.method import control_tokens_of

EDGES = "edges"


def merged_bins(config: Config) -> tuple[Config, str | None]:
    """The configuration, whose edges are numbers by now, without bins that no score is in, and a sentence on what was merged.

    Bins with the same upper edge are one, which has the control token of the best of them; None where none was merged.
    Raises `CorpusError` where all bins are one, and `ConfigError` for a scenario that starts with a token that is gone.
    """
    section = config.dataset.conditioning
    if section is None:
        return config, None
    values = section.model_dump()
    several = preferences_of(section)
    merged, sentences = [], []
    for where, one in zip(*_each(values, several), strict=True):
        bins = _bins(one, where, of_documents=section.placement == "before_document")
        kept, sentence = one, None
        if bins is not None:
            _check_prefixes(config, bins)
            kept = {**one, "control_tokens": [names[0] for names in bins.values()], EDGES: list(bins)}
            sentence = _describe(bins, len(one[EDGES]))
            sentences.append(f"{one['name']}: {sentence}" if several else sentence)
        merged.append(kept)
    if not sentences:
        return config, None
    tokens = [token for one in merged for token in one["control_tokens"]]
    whole = {**values, PREFERENCES: merged, "control_tokens": tokens} if several else merged[0]
    dataset = config.dataset.model_copy(update={"conditioning": ConditioningConfig.model_validate(whole)})
    return config.model_copy(update={"dataset": dataset}), ". ".join(sentences)


def check_tokens_of_phases(config: Config, configs: Sequence[Config]) -> None:
    """Raises `ConfigError` for a phase with a control token that the model, which has those of the last phase, lacks because
    bins of that phase were merged.

    Args:
        config: with a schedule.
        configs: of its phases, merged.
    """
    tagged = [(phase.name, control_tokens_of(own.dataset)) for phase, own in zip(config.schedule, configs, strict=True)]
    last, kept = next((pair for pair in reversed(tagged) if pair[1]), ("", ControlTokens()))
    for name, tokens in tagged:
        if any(token not in kept for token in tokens):
            raise ConfigError(
                f"schedule: bins of '{last}' were merged, because many scores of the training data are equal, and left "
                f"{', '.join(kept)}. But '{name}' has the control tokens {', '.join(tokens)}, and a model has one set of them. "
                "Choose fewer bins (num_bins), thresholds that are numbers, or the same placement in both."
            )


def _each(values: Mapping[str, Any], several: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Dotted keys and plain values of the preferences of a section, or of the section itself."""
    if not several:
        return [CONDITIONING], [values]
    return [f"{CONDITIONING}.{PREFERENCES}.{number}" for number in range(len(several))], list(several)


def _bins(section: Mapping[str, Any], where: str, *, of_documents: bool) -> dict[float, list[str]] | None:
    """Upper edge -> control tokens of the bins that end there; None where there is nothing to merge."""
    edges: list[float] = list(section.get(EDGES) or [])
    tokens = section["control_tokens"]
    if section["class_name"] != CLASS_NAME or len(edges) != len(tokens) or sorted(edges) != edges:
        return None  # which is refused when the method is built
    bins: dict[float, list[str]] = {}
    for edge, token in zip(edges, tokens, strict=True):
        bins.setdefault(edge, []).append(token)
    if len(bins) == len(edges):
        return None
    if len(bins) == 1:
        what = "documents" if of_documents else "segments"
        average = "average " if of_documents else ""
        raise CorpusError(
            f"{where}: all scored {what} of the training data have the {average}score {edges[0]:g}, so they cannot be divided "
            f"into {len(edges)} bins. Choose other data or another scorer."
        )
    return bins


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
    prefixes["generation.prefer"] = config.generation.prefer
    for where, prefix in prefixes.items():
        for token in control_tokens_of(config.dataset).tokens_in(prefix):
            if token in gone:
                raise ConfigError(
                    f"{where} is {token!r}, whose bin was merged with that of {gone[token]!r}, because many scores of the "
                    f"training data are equal. Set it to {gone[token]!r}, or choose fewer bins (num_bins)."
                )
