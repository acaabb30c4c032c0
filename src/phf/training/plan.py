"""What is known of a run before data and model are loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.evaluation.generation.evaluator import Evaluator
from phf.feedback import Method
from phf.feedback.thresholds import tentative_method_of
from phf.training.settings.arguments import Arithmetic, training_arguments
from phf.training.settings.preflight import check_value_head
from phf.training.sources import scorer_warnings


@dataclass(frozen=True)
class Plan:
    """A validated run: everything that can be known before data and model are loaded."""

    config: Config
    run_dir: Path
    arguments: Any
    arithmetic: Arithmetic
    method: Method
    """How scores are used; where thresholds are percentiles, with stand-ins for them until the data has been seen."""
    scorer: dict[str, Any]
    """Description of the scorer that evaluates."""
    warnings: list[str]


def plan_run(config: Config, run_dir: Path) -> Plan:
    """Validate the whole configuration: objective, scorer, metrics, scenarios, training arguments.

    A user's own classes are tried too.
    """
    method = tentative_method_of(config)
    evaluator = Evaluator(config.generation, method.prompting, config.training.seed)
    scorer = evaluator.scorer.describe()
    arguments, arithmetic, warnings = training_arguments(config.training, config.dataset.seq_length, run_dir)
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
    warnings += scorer_warnings(config.dataset, scorer) + check_value_head(config, method.objective)
    return Plan(config, run_dir, arguments, arithmetic, method, scorer, warnings)
