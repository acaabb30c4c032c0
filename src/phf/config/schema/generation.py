"""The section `generation`: what is sampled, and how the samples are scored."""

from typing import Any

from pydantic import Field

from phf.config.schema.section import Section


class GenerationConfig(Section):
    """What is sampled from the model, and how the samples are scored."""

    scorer_config: dict[str, Any]
    """`class_name` and settings of the scorer; the same scorer annotates raw documents."""
    metrics_configs: list[dict[str, Any]] = []
    """Metrics over all samples of a scenario, each `class_name` and settings."""
    scenario_configs: list[dict[str, Any]] = []
    """Generation scenarios; see `phf.sampling.scenarios.GenerationScenario` for the keys."""
    batch_size: int = Field(default=512, ge=1)
    """Samples generated at once."""
    every_n_steps: int = Field(default=1000, ge=1)
    """Generate at every step that is a multiple of this."""
    force_call_on: list[int] = []
    """Generate at these steps too."""
    run_on_train_start: bool = True
    """Generate before the first step."""
    run_on_train_end: bool = True
    """Generate after the last step."""
