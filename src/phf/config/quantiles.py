"""`dataset.conditioning: {kind: quantiles, num_bins: 5}`: bins of equally many segments, as the class that makes them.

Their edges are percentiles of the segments' scores, which become numbers when the training data has been read.
"""

from collections.abc import Mapping
from typing import Any

from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.storage.reading import short

QUANTILES = "quantiles"
CLASS_NAME = "ScoreQuantiles"
MAX_BINS = 100
"""More have no name as a percentile of a corpus that anybody labels."""


def with_quantiles(values: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Plain values of a configuration, in which `kind` and `num_bins` are replaced by class, edges and control tokens.

    `origin`: where the section is from, which errors begin with. Raises `ConfigError` for an unknown kind, an impossible
    number of bins, and keys that contradict them.
    """
    dataset = values.get("dataset")
    section = dataset.get("conditioning") if isinstance(dataset, Mapping) else None
    if not isinstance(section, Mapping) or "kind" not in section:
        return values
    assert isinstance(dataset, Mapping)
    with_class = with_edges(section, f"{origin}: dataset.conditioning", "quantile")
    return {**values, "dataset": {**dataset, "conditioning": with_class}}


def with_edges(section: Mapping[str, Any], where: str, name: str) -> dict[str, Any]:
    """The section itself, which has a `kind`, with class, edges and control tokens (`<|NAME1|>`, ...) in its place."""
    others = dict(section)
    kind, num_bins = others.pop("kind"), others.pop("num_bins", None)
    if kind != QUANTILES:
        near = did_you_mean(str(kind), [QUANTILES])
        raise ConfigError(
            f"{where}.kind is {short(repr(kind))}. {near} For a class, set class_name and leave kind out."
        )
    for key in ("class_name", "edges", "thresholds"):
        if key in others:
            raise ConfigError(f"{where}: kind: {QUANTILES} chooses {key} itself; leave {key} or kind out.")
    if not isinstance(num_bins, int) or isinstance(num_bins, bool) or not 2 <= num_bins <= MAX_BINS:
        written = "missing" if num_bins is None else short(repr(num_bins))
        raise ConfigError(f"{where}.num_bins is {written}; it must be a whole number from 2 to {MAX_BINS}.")
    tokens = others.setdefault("control_tokens", [f"<|{name}{number}|>" for number in range(1, num_bins + 1)])
    if isinstance(tokens, list) and len(tokens) != num_bins:
        raise ConfigError(f"{where}: num_bins is {num_bins}, but control_tokens has {len(tokens)}.")
    edges = [f"p{100 * number / num_bins:.6g}" for number in range(1, num_bins + 1)]
    return {"class_name": CLASS_NAME, "edges": edges, **others}
