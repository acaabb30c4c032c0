"""A whole configuration."""

from typing import Any

from phf.config.schema.benchmarks import DownstreamConfig, GlueConfig
from phf.config.schema.dataset import DatasetConfig
from phf.config.schema.generation import GenerationConfig
from phf.config.schema.kl import KLConfig
from phf.config.schema.model import ModelConfig, TokenizerConfig
from phf.config.schema.redteam import RedTeamConfig
from phf.config.schema.schedule import Phases
from phf.config.schema.section import Section
from phf.config.schema.training import TrainingConfig


class Config(Section):
    """A whole configuration: a task (data, scorer, evaluation) merged with a method (how scores are used)."""

    task: str | None = None
    """Name or path of the task file this came from; for people and reports."""
    method: str | None = None
    """Name or path of the method file this came from; for people and reports."""
    size: str | None = None
    """Size (`phf train --size`) that this has the model and the length of the run from; for people and reports."""
    dataset: DatasetConfig
    tokenizer: TokenizerConfig
    model: ModelConfig
    objective: dict[str, Any] = {"name": "MLE"}
    """`name` of the objective and its settings. `score_threshold: p5`: the 5th percentile of the segments' scores."""
    schedule: Phases = []
    """When which method applies: `always` (one method, from the first step to the last), or a list of phases. With phases,
    `objective` and the keys of `dataset` that belong to a method say how the trained model is prompted and evaluated."""
    training: TrainingConfig
    generation: GenerationConfig
    kl_gpt3_callback: KLConfig | None = None
    """KL from a reference LM; not measured unless it names a `reference`."""
    downstream: DownstreamConfig | None = None
    """Tasks of lm-evaluation-harness that `phf evaluate` runs."""
    glue: GlueConfig | None = None
    """Tasks of GLUE that `phf evaluate --glue` finetunes on."""
    redteam: RedTeamConfig | None = None
    """The search of `phf redteam`, for tasks that have one."""
