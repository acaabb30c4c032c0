"""The typed schema of the YAML files: one file for each section, each key documented where it is declared.

Sections and keys are those of the released system. Keys that only its files have are translated in `phf.config.released`
before this schema sees them; keys that repeat what another key implies may be left out (they are derived in
`phf.config.derive`) or written out (they are checked).
"""

from phf.config.schema.benchmarks import DownstreamConfig, GlueConfig
from phf.config.schema.dataset import ConditionalTrainingConfig, ConditioningConfig, DatasetConfig, Placement
from phf.config.schema.generation import GenerationConfig, ScenarioConfig
from phf.config.schema.kl import KLConfig, KLReferenceConfig
from phf.config.schema.model import ModelConfig, TokenizerConfig
from phf.config.schema.redteam import RedTeamConfig, RedTeamTemplate
from phf.config.schema.schedule import PhaseConfig, PhaseDataset
from phf.config.schema.section import Section
from phf.config.schema.training import TrainingConfig
from phf.config.schema.whole import Config

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
    "PhaseDataset",
    "Placement",
    "RedTeamConfig",
    "RedTeamTemplate",
    "ScenarioConfig",
    "Section",
    "TokenizerConfig",
    "TrainingConfig",
]
