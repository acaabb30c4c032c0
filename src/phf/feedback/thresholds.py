"""Thresholds written as percentiles (`p5`) in a configuration, made numbers from the scores of its training data.

The number is the one that `phf profile` prints for the same data: over all of it, held-out documents included, so that
neither the seed nor the method nor the held-out share changes it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from phf.config import ConditioningConfig, Config, DatasetConfig
from phf.config.percentile import percentile_of
from phf.config.preferences import NOT_SETTINGS, column_of, numbered
from phf.corpus.dataset import read_annotated
from phf.corpus.distribution import COUNT, Distribution, measure_scores
from phf.corpus.sources.documents import fingerprint
from phf.errors import CorpusError
from phf.feedback.method import Method, control_tokens_of, method_of, placement_of
from phf.feedback.schedule import phase_configs, with_phase_configs
from phf.scorers import build_scorer
from phf.storage.cache import entry_path, opened_entry, using
from phf.storage.reading import typed
from phf.storage.sealed import read_sealed, write_sealed

LEVELS = {
    "dataset.filter_threshold": "document",
    "dataset.document_filter": "document",
    "dataset.conditional_training_config.threshold": "segment",
    "dataset.conditioning": "segment",
    "dataset.hidden_threshold": "segment",
    "objective": "segment",
}
"""Key of a threshold, or of a section whose settings may be thresholds -> whose scores percentiles are of: documents'
`avg_score`, or segments'."""
OF_CONTROL_TOKENS = ("dataset.conditional_training_config.threshold", "dataset.conditioning")
"""Where percentiles are of documents, if a document has one control token (`placement: before_document`)."""
NAMES = ("class_name", "name", "control_tokens", "scores_column")
"""Settings of these sections that are never thresholds."""
SETTINGS_OF_OURS = tuple(f"dataset.conditioning.{name}" for name in ConditioningConfig.model_fields)
"""Settings that the class does not get."""
CACHE_FORMAT = 1


@dataclass(frozen=True)
class Resolved:
    """The number that a percentile stands for."""

    percentile: str
    """As written: "p50"."""
    threshold: float
    level: str
    num_scores: int
    num_sampled: int | None
    """How many scores it is estimated from; None: it is exact."""

    def describe(self) -> str:
        """E.g. "p50 = 0.00236"; says so where it is an estimate."""
        estimate = (
            "" if self.num_sampled is None else f" (estimated from {self.num_sampled:,} of {self.num_scores:,} scores)"
        )
        return f"{self.percentile} = {self.threshold}{estimate}"


def percentile_thresholds(config: Config) -> dict[str, str]:
    """Key -> percentile, of the thresholds that are written as one; an item of a list by its number, `thresholds.0`.

    Of a configuration with a schedule, those of its phases, from which the others follow.
    """
    thresholds: dict[str, str] = {}
    for start, own in zip(_starts(config), phase_configs(config), strict=True):
        sections = own.model_dump(include={"dataset", "objective"})
        leaves = (leaf for key in LEVELS for leaf in _leaves(_value(sections, key.split(".")), key))
        thresholds |= {start + key: value for key, value in leaves if percentile_of(value) is not None}
    return thresholds


def _starts(config: Config) -> list[str]:
    """What the keys of each phase begin with."""
    return [f"schedule.{number}." for number in range(len(config.schedule))] or [""]


def level_of(config: Config, key: str) -> str:
    """Whose scores a percentile at this key is of: "document" or "segment"."""
    dataset, key = _in_phase(config, key)
    root, level = next((root, level) for root, level in LEVELS.items() if key == root or key.startswith(f"{root}."))
    is_of_documents = root in OF_CONTROL_TOKENS and placement_of(dataset) == "before_document"
    return "document" if is_of_documents else level


def _column(config: Config, key: str) -> str:
    """The column whose scores a threshold is compared with."""
    dataset, key = _in_phase(config, key)
    return column_of(key, dataset)


def _in_phase(config: Config, key: str) -> tuple[DatasetConfig, str]:
    """The section `dataset` of the phase that a key is of, and the key there."""
    starts = zip(_starts(config), phase_configs(config), strict=True)
    return next((own.dataset, key.removeprefix(start)) for start, own in starts if key.startswith(start))


def with_thresholds(config: Config, numbers: Mapping[str, float]) -> Config:
    """The configuration with `numbers` in place of the thresholds of these keys."""
    configs = [
        _with_thresholds(own, {key.removeprefix(start): numbers[key] for key in numbers if key.startswith(start)})
        for start, own in zip(_starts(config), phase_configs(config), strict=True)
    ]
    return with_phase_configs(config, configs)


def _with_thresholds(config: Config, numbers: Mapping[str, float]) -> Config:
    sections = config.model_dump(include={"dataset", "objective"})
    for key, value in numbers.items():
        *path, last = key.split(".")
        holder = _value(sections, path)
        holder[int(last) if isinstance(holder, list) else last] = value
    dataset = DatasetConfig.model_validate(sections["dataset"])
    return config.model_copy(update={"dataset": dataset, "objective": sections["objective"]})


def with_stand_ins(config: Config) -> Config:
    """The configuration with any number for each percentile, to try a method on before the data has been seen.

    p5 becomes 0.05: they ascend as percentiles do.
    """
    percentiles = {key: percentile_of(percentile) for key, percentile in percentile_thresholds(config).items()}
    return with_thresholds(config, {key: value / 100 for key, value in percentiles.items() if value is not None})


def tentative_method_of(config: Config) -> Method:
    """The method before the data has been seen, with stand-ins for percentiles, to check a run and its model with.

    Raises as `method_of` does. A class is not tried yet if its section has both numbers and percentiles: how they
    compare is not known. Of a configuration with a schedule, this is the method that the model is prompted and evaluated by.
    """
    stand_ins = with_stand_ins(config).model_copy(update={"schedule": []})
    config = config.model_copy(update={"schedule": []})
    try:
        return method_of(stand_ins)
    except ValueError:  # ours, or that of a user's class
        if not _has_mixed_section(config):
            raise
    tagging = config.dataset.tagging
    return Method(
        control_tokens=control_tokens_of(config.dataset),
        placement=placement_of(config.dataset),
        tags_every_segment=bool(tagging and tagging.tag_every_segment_when_sampling),
        hidden_threshold=None if config.dataset.hidden_threshold is None else 0.0,
        objective_config=stand_ins.objective,
    )


def _has_mixed_section(config: Config) -> bool:
    percentiles = percentile_thresholds(config)
    sections = config.model_dump(include={"dataset"})
    preferences = [key for key, _ in numbered(config.dataset.conditioning)]
    for root in ("dataset.document_filter", *(preferences or ["dataset.conditioning"])):
        settings = {
            key: value
            for key, value in _leaves(_value(sections, root.split(".")), root)
            if key not in SETTINGS_OF_OURS and key.removeprefix(f"{root}.") not in NOT_SETTINGS
        }
        if settings.keys() & percentiles.keys() and any(isinstance(value, int | float) for value in settings.values()):
            return True
    return False


def _value(holder: Any, path: Sequence[str]) -> Any:
    for name in path:
        holder = None if holder is None else holder[int(name) if isinstance(holder, list) else name]
    return holder


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in NAMES:
                yield from _leaves(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{key}.{number}")
    else:
        yield key, value


def cached_thresholds(config: Config) -> dict[str, Resolved | None]:
    """Key -> the number of its percentile if it has been computed before for the same data, else None."""
    cached: dict[str, Resolved | None] = {}
    for key, percentile in percentile_thresholds(config).items():
        path = _cache_path(config, key, percentile)
        cached[key] = _cached(path) if path.is_file() else None
    return cached


def _cached(path: Path) -> Resolved | None:
    """None where the file is damaged: it is rebuilt."""
    try:
        with using(path):
            content = read_sealed(path, [field.name for field in fields(Resolved)], CorpusError)
            resolved: Resolved = typed(Resolved, content, str(path), CorpusError)
            return resolved
    except CorpusError:
        return None


def resolve_thresholds(config: Config, sources: Sequence[str]) -> dict[str, Resolved]:
    """Key -> the number of its percentile: from the cache, or else from one pass over the annotated `sources` for each column.

    `sources` are those of `config.dataset.datasets`, annotated. Raises `CorpusError` where nothing is scored.
    """
    by_key = cached_thresholds(config)
    missing = [key for key, resolved in by_key.items() if resolved is None]
    if missing:
        levels = {
            column: measure_scores(chain.from_iterable(read_annotated(source, column) for source in sources)).levels
            for column in dict.fromkeys(_column(config, key) for key in missing)
        }
        for key in missing:
            percentile = percentile_thresholds(config)[key]
            by_key[key] = resolved = _resolve(levels[_column(config, key)], percentile, key, level_of(config, key))
            with opened_entry(
                _cache_path(config, key, percentile), f"{key} of {', '.join(config.dataset.datasets)}"
            ) as path:
                write_sealed(path, vars(resolved))
    return {key: resolved for key, resolved in by_key.items() if resolved is not None}


def _resolve(levels: Mapping[str, Distribution], percentile: str, key: str, level: str) -> Resolved:
    distribution = levels[level]
    if not distribution.totals[COUNT]:
        raise CorpusError(f"{key} is {percentile}, but no {level} of the training data has a score.")
    value = percentile_of(percentile)
    assert value is not None
    return Resolved(
        percentile=percentile,
        threshold=distribution.quantile(value),
        level=level,
        num_scores=int(distribution.totals[COUNT]),
        num_sampled=distribution.num_sampled,
    )


def _cache_path(config: Config, key: str, percentile: str) -> Path:
    """Named by everything that decides the number: the data as configured, how it is scored, level and percentile."""
    dataset = config.dataset
    parts = [
        CACHE_FORMAT,
        [fingerprint(source) for source in dataset.datasets],
        build_scorer(config.generation.scorer_config).describe(),
        dataset.segment,
        _column(config, key),
        level_of(config, key),
        percentile,
    ]
    name = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
    return entry_path("thresholds", f"{name}.json")
