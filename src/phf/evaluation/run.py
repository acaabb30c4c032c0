"""`phf evaluate`: everything a task measures, on any folders of Hugging Face causal LMs."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from phf.config import Config, GlueConfig
from phf.errors import ConfigError
from phf.evaluation.compare import Comparison, PromptScores, choose_baseline, compare_with_baseline
from phf.evaluation.downstream.tasks import check_downstream
from phf.evaluation.glue.tasks import check_glue
from phf.evaluation.model_evaluation import Announce, ModelEvaluation
from phf.feedback import Prompting
from phf.models.model_folder import check_distinct, find_model, model_names
from phf.registry.names import did_you_mean
from phf.runs.seeds import Group, group_by_seed
from phf.runs.writer import write_json
from phf.sampling.agreement import check_same_start
from phf.sampling.division import all_processes
from phf.storage.files import only_job

PARTS = ("generation", "diversity", "kl", "held-out", "downstream", "glue")
"""The parts that can be selected. Diversity is measured on the samples of generation."""
DEFAULT_PARTS = PARTS[:-1]


@dataclass(frozen=True)
class Evaluation:
    """The numbers of each model, and each pair compared."""

    numbers: dict[str, dict[str, float]]
    comparisons: list[Comparison] = field(default_factory=list)


def chosen_parts(only: Sequence[str], skip: Sequence[str], glue: bool, config: Config | None = None) -> list[str]:
    """The parts to measure, in order.

    Raises `ConfigError` for one that does not exist, for one in `only` that `config` does not configure, and
    if nothing is left to measure.
    """
    for part in (*only, *skip):
        if part not in PARTS:
            raise ConfigError(f"There is no part '{part}' of the evaluation. {did_you_mean(part, PARTS)}")
    chosen = set(only or DEFAULT_PARTS) | ({"glue"} if glue else set())
    parts = [part for part in PARTS if part in chosen and part not in skip]
    missing = {} if config is None else _not_configured(config)
    for part in only:
        if part in parts and part in missing:
            raise ConfigError(f"--only {part}: the task configures none. Set {missing[part]}.")
    if not [part for part in parts if part not in missing]:
        keys = "; ".join(f"{part}: {missing[part]}" for part in parts)
        raise ConfigError(f"Nothing is left to measure. {f'Set one of these: {keys}.' if keys else 'Skip less.'}")
    return parts


def _not_configured(config: Config) -> dict[str, str]:
    """Part -> keys to set, for the parts that the task does not configure."""
    generation, dataset, kl = config.generation, config.dataset, config.kl_gpt3_callback
    has = {
        "generation": bool(generation.scenario_configs),
        "diversity": bool(generation.metrics_configs and generation.scenario_configs),
        "held-out": bool(dataset.eval_fraction or dataset.eval_datasets),
        "kl": kl is not None and kl.reference is not None,
        "downstream": config.downstream is not None,
    }
    keys = {
        "generation": "generation.scenario_configs",
        "diversity": "generation.metrics_configs and generation.scenario_configs",
        "held-out": "dataset.eval_fraction or dataset.eval_datasets",
        "kl": "kl_gpt3_callback.reference (path_or_name, or base_url and model)",
        "downstream": "downstream.tasks",
    }
    return {part: key for part, key in keys.items() if not has[part]}


def evaluate_folders(
    folders: Sequence[Path],
    config: Config,
    output: Path,
    parts: Sequence[str] = DEFAULT_PARTS,
    announce: Announce = lambda message: None,
    baseline: str | None = None,
) -> Evaluation:
    """Measure the parts that the task configures on each model, write run folders, and compare the models.

    Models of one method and task that differ in the seed are compared as one. The baseline is the one given, by its name
    or method, otherwise the first of method MLE, otherwise the first.

    One model's results are in `output` itself, those of several in folders of it. A part that was finished before is
    not measured again, so an interrupted evaluation continues where it stopped.

    A model that `phf` exported records how it is prompted: scenarios without a prefix, or with the best one of the
    task's own configuration, start from its best control token. A scenario whose control token a model lacks is skipped for
    that model, with a notice.
    Raises `ConfigError`, `CorpusError`, `MissingExtraError` or `OutputError`, before anything is measured if possible.
    """
    division = all_processes()
    with division.together():
        if "downstream" in parts and config.downstream is not None:
            check_downstream()
        if "glue" in parts:
            check_glue((config.glue or GlueConfig()).tasks)
        folders = [find_model(folder) for folder in folders]
        check_distinct(folders)
        names = model_names(folders)
        outputs = [output / name for name in names] if len(folders) > 1 else [output]
        thresholds = [Prompting.load(folder).threshold for folder in folders]
        threshold = max((value for value in thresholds if value is not None), default=0.0)
        models = [
            ModelEvaluation(folder, name, config, folder_output, threshold, parts, announce, division)
            for folder, name, folder_output in zip(folders, names, outputs, strict=True)
        ]
        if (
            "generation" in parts
            and config.generation.scenario_configs
            and not any(m.evaluator.scenarios for m in models)
        ):
            raise ConfigError(f"No model can run any scenario: {' '.join(models[0].skipped)}")
        _check_preference(config, models, announce if division.is_main else lambda message: None)
        groups = group_by_seed(names, [model.training for model in models])
        first = choose_baseline(groups, names, baseline)
    facts = {"models": [model.files for model in models], "parts": list(parts), "output": str(output.absolute())}
    with ExitStack() as held:
        with division.together():
            check_same_start(division, {**facts, "configuration": config.model_dump(mode="json")})
            if division.is_main:
                for model in models:
                    model.check_output()
                held.enter_context(only_job(output))
        for model in models:
            for notice in model.skipped if "generation" in parts else ():
                announce(f"{model.name}: {notice}")
        numbers = {model.name: model.run() for model in models}
        comparisons = division.from_main(lambda: _comparisons(models, groups, first))
        if len(models) > 1 and division.is_main:
            named = {model.name: str(model.folder) for model in models}
            result = {"models": named, "comparisons": [comparison.to_json() for comparison in comparisons]}
            write_json(output / "comparison.json", result)
    return Evaluation(numbers, comparisons)


def _check_preference(config: Config, models: Sequence[ModelEvaluation], announce: Announce) -> None:
    """Raises `ConfigError` where `generation.prefer` has no effect on any model, and announces those that it has none on."""
    untagged = [] if config.generation.prefer is None else [m.name for m in models if not m.prompting.control_tokens]
    if untagged and len(untagged) == len(models):
        raise ConfigError(
            f"generation.prefer (--prefer) is {config.generation.prefer!r}, but {', '.join(untagged)} has no control tokens. "
            "Leave it out."
        )
    for name in untagged:
        announce(f"{name}: has no control tokens, so generation.prefer has no effect on it")


def _comparisons(models: Sequence[ModelEvaluation], groups: Sequence[Group], baseline: str) -> list[Comparison]:
    samples: dict[str, dict[str, list[PromptScores]]] = {group.name: {} for group in groups}
    for group in groups:
        for index in group.members:
            for scenario, scores in models[index].scores().items():
                samples[group.name].setdefault(scenario, []).append(scores)
    return compare_with_baseline(samples, baseline)
