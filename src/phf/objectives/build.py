"""From the `objective` section of a configuration to an `Objective`."""

from collections.abc import Mapping
from typing import Any

from phf.errors import ConfigError
from phf.objectives.base import Objective
from phf.registry import OBJECTIVES


def build_objective(config_section: Mapping[str, Any]) -> Objective:
    """Build `{"name": "AWR", "alpha": 0.5, ...}`.

    `name` is a shipped objective, a plugin's, or `package.module:ClassName`; the other keys are its arguments.
    Raises `ConfigError` for an unknown name or argument, a missing argument, or a value the objective refuses.
    """
    objective = OBJECTIVES.build(config_section, where="objective", name_key="name")
    if not isinstance(objective, Objective):
        raise ConfigError(f"objective.name: '{config_section['name']}' is not a phf.objectives.Objective.")
    return objective
