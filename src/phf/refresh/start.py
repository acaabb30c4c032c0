"""What is refreshed: a finished run, checked before anything is sampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config, load_config
from phf.corpus.manifest import read_manifest
from phf.errors import ConfigError, CorpusError
from phf.feedback import Method, method_of
from phf.feedback.objectives import MLE
from phf.models.model_folder import find_model, model_name
from phf.registry.names import did_you_mean
from phf.runs.data import describe_data, is_same_data
from phf.runs.layout import CONFIG, run_of_model
from phf.runs.reader import read_provenance
from phf.scorers import build_scorer
from phf.scorers.base import scorer_mismatch
from phf.tokens.prepare import annotated_sources
from phf.training.data import resolve_percentiles
from phf.training.sources import describe_sources, segmenter_of

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """A run whose model is refreshed."""

    name: str
    run_dir: Path
    model: Path
    """The folder of the exported model."""
    config: Config
    """The run's configuration with the overrides of this command; its thresholds are numbers."""
    method: Method
    sources: list[str]
    """The run's training data, annotated."""
    segmenter: str
    """How that was cut, and how samples are."""


def open_run(path: Path, overrides: Sequence[str], announce: Announce) -> Start:
    """Raises `ConfigError` for a run that cannot be refreshed, with the reason, `CorpusError` if its data has changed."""
    model = find_model(path)
    run_dir = run_of_model(model)
    if run_dir is None:
        raise ConfigError(
            f"{path} is not a run of phf train, so its training data and method are not known. Give the folder of a run that "
            f"has a {CONFIG} and a model."
        )
    config, warnings = load_config(config=run_dir / CONFIG, overrides=overrides, for_models=True)
    for warning in warnings:
        announce(warning)
    check_kind(config)
    config, _ = resolve_percentiles(config, announce)
    method = method_of(config)
    check_uses_scores(method)
    sources = annotated_sources(config, config.dataset.datasets, announce)
    before, now = read_provenance(run_dir).get("dataset"), describe_sources(sources)
    if before is not None and not is_same_data(before, now):
        raise CorpusError(
            f"The training data of {run_dir} has changed: it was {describe_data(before)}, and is {describe_data(now)} now. "
            "Its thresholds, and which documents are held out, belong to the data of then. Restore the data."
        )
    check_scorer(config, sources, announce)
    segmenter = (
        segmenter_of(sources) or config.dataset.segment or build_scorer(config.generation.scorer_config).segmenter
    )
    return Start(model_name(model), run_dir, model, config, method, sources, segmenter)


def check_kind(config: Config) -> None:
    """Raises `ConfigError` for a run that cannot be trained on samples of its own."""
    if config.schedule not in ("always", []):
        raise ConfigError(
            "The run's method changes on its way (schedule), so it is not clear with which one to train on. "
            "--override schedule=always trains on with the method of its other sections."
        )
    conditioning = config.dataset.conditioning
    if conditioning is not None and "preferences" in (conditioning.model_extra or {}):
        raise ConfigError(
            "The run has control tokens of several preferences (dataset.conditioning.preferences), but phf refresh scores "
            "samples with one scorer, generation.scorer_config, so they would have only one of these. It supports one."
        )
    if config.dataset.streaming:
        raise ConfigError(
            "The run streams its data, so there is no store of tokens to choose documents from. "
            "--override dataset.streaming=false makes one."
        )


def check_uses_scores(method: Method) -> None:
    """Raises `ConfigError` for a method that makes nothing of scores: its model would only learn to repeat itself."""
    uses_scores = (method.document_filter, method.conditioning, method.hidden_threshold) != (None, None, None)
    if not uses_scores and type(method.objective) is MLE:
        raise ConfigError(
            "The run's method is MLE, which does not use scores: trained on its own samples, good and bad alike, the model "
            "would only repeat itself. Refresh a run of another method: conditional, quantiles, filtering, masking, hiding, "
            "ul, rwr or awr."
        )


def check_scorer(config: Config, sources: Sequence[str], announce: Announce) -> None:
    """Raises `ConfigError` if the scorer of the samples is not that of the training data, as far as that is known."""
    ours = build_scorer(config.generation.scorer_config).describe()
    for source in sources:
        manifest = read_manifest(Path(source)) if Path(source).is_dir() else None
        if manifest is None:
            announce(f"{source} does not say what scored it; samples are scored by {ours['class_name']}")
            continue
        theirs = manifest.scorers.get(config.dataset.scores_column, manifest.scorer)
        mismatch = scorer_mismatch(theirs, ours)
        if mismatch is None:
            continue
        without = [{key: value for key, value in one.items() if key != "precision"} for one in (theirs, ours)]
        if scorer_mismatch(*without) is not None:
            raise ConfigError(
                f"{source}: {mismatch} Samples and training data need the same scorer: set generation.scorer_config with "
                "--override, or annotate the data again and train on that."
            )
        announce(f"{source}: {mismatch}")


def chosen_scenario(config: Config, name: str | None) -> Any:
    """The section of the scenario that is sampled. Raises `ConfigError` where there is none."""
    scenarios = {scenario.name: scenario for scenario in config.generation.scenario_configs}
    if not scenarios:
        raise ConfigError("The run has no generation scenario to sample from. Set generation.scenario_configs.")
    if name is None:
        name = next(iter(scenarios))
    if name not in scenarios:
        raise ConfigError(f"--scenario: the run has no scenario '{name}'. {did_you_mean(name, scenarios)}")
    return scenarios[name]
