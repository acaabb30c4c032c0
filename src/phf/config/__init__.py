"""Configuration: two YAML files, a task and a method, merged, overridden, derived, and saved with every run.

Takes files and overrides; returns one typed `Config`, or an error that names file and key. Must not know what uses it.
"""

from phf.config.files import dump_config, load_config, parse_config, saved_config, shipped_files
from phf.config.labels import method_label, run_labels
from phf.config.schema import (
    ConditionalTrainingConfig,
    ConditioningConfig,
    Config,
    DatasetConfig,
    DownstreamConfig,
    GenerationConfig,
    GlueConfig,
    KLConfig,
    KLReferenceConfig,
    ModelConfig,
    PhaseConfig,
    Placement,
    RedTeamConfig,
    ScenarioConfig,
    TokenizerConfig,
    TrainingConfig,
)

__all__ = [
    "ConditionalTrainingConfig",
    "ConditioningConfig",
    "Config",
    "DatasetConfig",
    "DownstreamConfig",
    "GenerationConfig",
    "GlueConfig",
    "KLConfig",
    "KLReferenceConfig",
    "ModelConfig",
    "PhaseConfig",
    "Placement",
    "RedTeamConfig",
    "ScenarioConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "dump_config",
    "load_config",
    "method_label",
    "parse_config",
    "run_labels",
    "saved_config",
    "shipped_files",
]
