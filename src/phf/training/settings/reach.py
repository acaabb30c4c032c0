"""A configuration without what cannot be reached here, for `phf train --dry-run`, which checks the rest of it.

The run itself needs all of it, and refuses to start.
"""

from collections.abc import Sequence
from typing import Any

from phf.config import Config, ScenarioConfig
from phf.errors import PhfError
from phf.sampling.prompts import missing_released_prompts
from phf.scorers import build_scorer
from phf.storage.loading_errors import is_unreachable

NOT_CHECKED = "Not checked, the run would stop here"
STAND_IN = {"class_name": "phf.training.settings.reach:UnreachedScorer"}


class UnreachedScorer:
    """Stands for a scorer whose model cannot be downloaded here; it scores nothing."""

    def score_texts(self, texts: Sequence[str]) -> list[float | None]:
        """No text gets a score."""
        return [None] * len(texts)


def within_reach(config: Config) -> tuple[Config, list[str]]:
    """`config` with stand-ins for scorers that cannot be downloaded and without scenarios whose prompts come with the
    released code and are not here; and a line on each of them."""
    notes: list[str] = []
    generation = config.generation
    scorer = _reached(generation.scorer_config, "generation.scorer_config", notes)
    scenarios = [scenario for s in generation.scenario_configs if (scenario := _scenario(s, notes)) is not None]
    update = {"scorer_config": scorer, "scenario_configs": scenarios}
    return config.model_copy(update={"generation": generation.model_copy(update=update)}) if notes else config, notes


def is_reached(config: Config) -> bool:
    """Whether the task's own scorer is in the configuration, not a stand-in."""
    return config.generation.scorer_config != STAND_IN


def _scenario(scenario: ScenarioConfig, notes: list[str]) -> ScenarioConfig | None:
    where = f"generation.scenario_configs, scenario '{scenario.name}'"
    if (missing := missing_released_prompts(scenario.prompts_path)) is not None:
        notes.append(f"{NOT_CHECKED}: {where}: {missing}")
        return None
    scorers = [_reached(section, f"{where}: scorers.{i}", notes) for i, section in enumerate(scenario.scorers)]
    return scenario.model_copy(update={"scorers": scorers})


def _reached(section: dict[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    try:
        build_scorer(section, where)
    except PhfError as error:
        if is_unreachable(error):
            notes.append(f"{NOT_CHECKED}: {error}")
            return STAND_IN
        raise
    return section
