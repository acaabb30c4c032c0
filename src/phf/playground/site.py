"""What a playground offers: its models, loaded, the scorer of their run, and the settings that samples are drawn with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.audit.training_data import check_annotated
from phf.config import Config, ScenarioConfig
from phf.errors import ConfigError
from phf.feedback import Prompting
from phf.models import prompting_of
from phf.models.context import context_of
from phf.models.model_folder import find_model, load_folder_lm, load_folder_tokenizer, model_names
from phf.playground.data import ModelData, open_data
from phf.playground.ways import Way, preselected, ways_of
from phf.scorers import Scorer, build_scorer

MAX_MODELS = 4
OFFERED = {"do_sample", "temperature", "top_p", "top_k", "max_length", "max_new_tokens", "min_length", "min_new_tokens"}
"""Arguments of `generate` in a run's scenario that the page has a control for, or takes over."""


@dataclass(frozen=True)
class PlaygroundModel:
    """One of the models."""

    name: str
    given: str
    """As it was given on the command line."""
    folder: Path
    lm: Any
    tokenizer: Any
    prompting: Prompting
    ways: list[Way]
    selected: list[Way]
    """Those that are chosen when the page opens."""
    data: ModelData | None = None
    """What its texts are looked for in; None: nothing."""

    @property
    def context(self) -> int | None:
        """Tokens that it has positions for; None: no limit."""
        return context_of(self.lm.config)


@dataclass(frozen=True)
class Site:
    """The models with what they share."""

    models: list[PlaygroundModel]
    scorer: Scorer | None
    """None: nothing is scored."""
    task_arguments: list[str] = field(default_factory=list)
    """What tells `phf evaluate` the task."""
    has_task: bool = False
    """Whether a task is known, so that `phf evaluate` can draw and score the same samples."""
    scenario: ScenarioConfig = field(default_factory=lambda: ScenarioConfig(name="playground"))
    """The settings of the run that the page begins with."""
    threshold: float = 0.0
    """Segments with a greater score are shown as misaligned."""
    notices: list[str] = field(default_factory=list)

    def columns(self) -> dict[str, tuple[PlaygroundModel, Way]]:
        """Key -> model and way, of all that can be chosen."""
        return {
            f"{number}:{place}": (model, way)
            for number, model in enumerate(self.models)
            for place, way in enumerate(model.ways)
        }


def find_models(models: Sequence[str]) -> list[Path]:
    """The folders of the models. Raises `ConfigError` for too many, `CorpusError` for what is not a model."""
    if len(models) > MAX_MODELS:
        raise ConfigError(f"{len(models)} models are given; the page shows up to {MAX_MODELS} side by side.")
    return [find_model(Path(model)) for model in models]


def open_site(
    models: Sequence[str],
    folders: Sequence[Path],
    config: Config | None,
    scorer_section: dict[str, Any] | None,
    *,
    task_arguments: Sequence[str] = (),
    requests: Sequence[str] = (),
    datasets: Sequence[str] = (),
    scores_column: str = "scores",
    announce: Callable[[str], None] = lambda message: None,
) -> Site:
    """Load the models, which were found in `folders`, and build the scorer.

    Args:
        config: the task; None for models from elsewhere.
        scorer_section: `class_name` and settings; None: no scores.
        requests: levels that are listed in any case; see `ways_of`.
        datasets: annotated sources in which texts are looked for; none: the page does not offer it.

    Raises `ConfigError` for a scorer or a level that does not exist, `CorpusError` for sources that are not annotated,
    `MissingExtraError` for a scorer that is not installed.
    """
    check_annotated(datasets, scores_column)
    scorer = None if scorer_section is None else build_scorer(scorer_section, "--scorer")
    tokenizers = [load_folder_tokenizer(folder) for folder in folders]
    promptings = [prompting_of(folder, tokenizer) for folder, tokenizer in zip(folders, tokenizers, strict=True)]
    ways = [_ways(prompting, requests, folder) for prompting, folder in zip(promptings, folders, strict=True)]
    names, loaded = model_names(folders), []
    for number, (name, folder) in enumerate(zip(names, folders, strict=True)):
        announce(f"Loading {name}")
        selected = preselected(ways[number], promptings[number], len(folders) == 1)
        lm, tokenizer, prompting = load_folder_lm(folder).eval(), tokenizers[number], promptings[number]
        data = open_data(folder, lm, tokenizer, prompting, datasets, scores_column) if datasets else None
        loaded.append(
            PlaygroundModel(name, models[number], folder, lm, tokenizer, prompting, ways[number], selected, data)
        )
    thresholds = [prompting.threshold for prompting in promptings if prompting.threshold is not None]
    scenario, notices = _scenario(config)
    notices += [
        f"{model.name}: {model.data.data.sentence}"
        for model in loaded
        if model.data and not model.data.data.is_trained_on
    ]
    return Site(
        models=loaded,
        scorer=scorer,
        task_arguments=list(task_arguments),
        has_task=config is not None,
        scenario=scenario,
        threshold=max(thresholds, default=0.0),
        notices=notices,
    )


def _ways(prompting: Prompting, requests: Sequence[str], folder: Path) -> list[Way]:
    if requests and not prompting.control_tokens:
        raise ConfigError(f"--prefer {requests[0]}: {folder} has no control tokens. Leave it out.")
    try:
        return ways_of(prompting, requests)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None


def _scenario(config: Config | None) -> tuple[ScenarioConfig, list[str]]:
    """The first scenario of a task, with what cannot be taken over."""
    scenarios = [] if config is None else config.generation.scenario_configs
    if not scenarios:
        return ScenarioConfig(name="playground"), []
    own = scenarios[0].generate_kwargs
    dropped = [key for key, value in own.items() if key not in OFFERED and value is not None]
    notices = [
        f"generate_kwargs.{key} of scenario '{scenarios[0].name}' has no control here, and is left out"
        for key in dropped
    ]
    kept = {key: value for key, value in own.items() if key in OFFERED and value is not None}
    return scenarios[0].model_copy(update={"generate_kwargs": kept}), notices
