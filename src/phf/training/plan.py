"""What is known of a run before data and model are loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from phf.config import Config, ModelConfig
from phf.errors import ConfigError, PhfError
from phf.evaluation.generation.evaluator import Evaluator
from phf.feedback import Method
from phf.feedback.schedule import Schedule, Timetable, first_with_same_view, methods_of
from phf.feedback.thresholds import tentative_method_of
from phf.models.building.architecture import Architecture, read_architecture
from phf.runs.folder import has_steps, is_started
from phf.runs.reader import read_provenance
from phf.training.hardware import Choices, choose, find_hardware
from phf.training.settings.arguments import Arithmetic, training_arguments
from phf.training.settings.keys import check_keys
from phf.training.settings.preflight import check_value_head
from phf.training.settings.reach import is_reached
from phf.training.sources import scorer_warnings


@dataclass(frozen=True)
class Plan:
    """A validated run: everything that can be known before data and model are loaded."""

    config: Config
    run_dir: Path
    arguments: Any
    arithmetic: Arithmetic
    choices: Choices
    """What was chosen by the hardware."""
    method: Method
    """How scores are used; where thresholds are percentiles, with stand-ins for them until the data has been seen. Of a run
    with a schedule, this is how the trained model is prompted and evaluated."""
    scorer: dict[str, Any]
    """Description of the scorer that evaluates."""
    warnings: list[str]
    schedule: Schedule
    """The methods of the phases; with the same stand-ins."""
    timetable: Timetable


def plan_run(config: Config, run_dir: Path) -> Plan:
    """Validate the whole configuration: objective, scorer, metrics, scenarios, training arguments.

    A user's own classes are tried too.
    """
    method, schedule = methods_of(config, tentative_method_of)
    schedule.check_one_model()
    if config.dataset.streaming and any(first_with_same_view(config)):
        raise ConfigError(
            "dataset.streaming: the phases of the schedule differ in what they make of the corpus (control tokens, filters), "
            "which needs stored blocks. Set dataset.streaming: false; objectives may change while streaming."
        )
    evaluator = Evaluator(config.generation, method.prompting, config.training.seed)
    scorer = evaluator.scorer.describe() if is_reached(config) else {}
    choices = _choices(config, run_dir)
    arguments, arithmetic, warnings = training_arguments(
        config.training, config.dataset.seq_length, run_dir, choices.arguments
    )
    _refuse_different_choices(choices, arithmetic.world_size)
    kl = config.kl_gpt3_callback
    if kl is not None and kl.reference is None:
        warnings.append(
            "kl_gpt3_callback names no reference LM, so KL is not measured. Set kl_gpt3_callback.reference.path_or_name, "
            "or base_url and model of a server."
        )
    if (
        config.dataset.streaming
        and arithmetic.world_size > 1
        and arguments.accelerator_config.dispatch_batches is False
    ):
        warnings.append(
            f"training.accelerator_config.dispatch_batches is false: each of {arithmetic.world_size} processes encodes the "
            "whole stream and trains on its share. Leave it out, and the first process encodes for all."
        )
    warnings += scorer_warnings(config.dataset, scorer) if scorer else []
    warnings += check_value_head(config, method.objective)
    timetable = Timetable(schedule.ends(arithmetic.max_steps))
    return Plan(config, run_dir, arguments, arithmetic, choices, method, scorer, warnings, schedule, timetable)


def _choices(config: Config, run_dir: Path) -> Choices:
    """What the hardware decides; for a run that has begun, what it was begun with."""
    applied, _ = check_keys(config.training)
    return choose(
        applied,
        _architecture(config.model),
        find_hardware(bool(applied.get("use_cpu"))),
        streams=config.dataset.streaming,
        recorded=recorded_choices(run_dir) if is_started(run_dir) and has_steps(run_dir) else None,
    )


def recorded_choices(run_dir: Path) -> dict[str, Any]:
    """What a run in this folder was begun with; empty for one of an older version."""
    return read_provenance(run_dir).get("choices") or {}


def _architecture(config: ModelConfig) -> Architecture | None:
    """The model's; None if it cannot be read, which is reported when it has to be."""
    try:
        return read_architecture(config)
    except PhfError:
        return None


def _refuse_different_choices(choices: Choices, world_size: int) -> None:
    """Raises `ConfigError` if processes, on different machines, would train in different precisions."""
    if world_size == 1:
        return
    shown = sorted(set(gather_object([choices.precision.shown])))
    if len(shown) > 1:
        raise ConfigError(
            f"The processes of this run would train in different precisions ({', '.join(shown)}), since their hardware "
            "differs. Set training.bf16 to true or false."
        )
