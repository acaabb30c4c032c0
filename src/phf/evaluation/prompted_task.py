"""A task adapted to one model: with the model's own prompting, without the scenarios that it cannot run."""

from pathlib import Path
from typing import Any

from phf.config import Config, ScenarioConfig
from phf.errors import ConfigError
from phf.feedback import Prompting, control_tokens_of
from phf.feedback.prompting import NO_PREFIX
from phf.registry.names import did_you_mean


def task_for_model(
    config: Config, prompting: Prompting, tokenizer: Any, *, has_value_head: bool
) -> tuple[Config, list[str]]:
    """The task's configuration with the model's own prefix in its scenarios, and a notice for each scenario left out.

    A scenario without a prefix, or with the best one of the configuration's own method, starts from the model's own: its best
    control token, or what `generation.prefer` asks for. One that needs a control token or a value head that the model lacks is
    left out. Metrics are measured apart.
    """
    own = control_tokens_of(config.dataset)
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    kept, notices = [], []
    for scenario in config.generation.scenario_configs:
        prefix = scenario.prefix
        if prefix is None or prefix == own.best:
            prefix = prompting.prefix
        elif prefix not in special:
            prefix = _asked_for(prefix, prompting)
        prompted = scenario.model_copy(update={"prefix": prefix})
        reason = _unfit(prompted, special, prompting, has_value_head=has_value_head)
        if reason is None:
            kept.append(prompted)
        else:
            notices.append(f"scenario '{scenario.name}' is skipped: {reason}")
    update = {"metrics_configs": [], "scenario_configs": kept}
    return config.model_copy(update={"generation": config.generation.model_copy(update=update)}), notices


def preferred_prompting(prompting: Prompting, config: Config, folder: Path) -> Prompting:
    """How a model is prompted on a task: as `generation.prefer` asks. Raises `ConfigError` for a level that it lacks."""
    try:
        return prompting.preferring(config.generation.prefer)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None


def _asked_for(request: str, prompting: Prompting) -> str:
    """The control tokens of the model that a scenario asks for; the request itself if it has no such level."""
    try:
        return prompting.control_tokens.prefix(request, "prefix")
    except ConfigError:
        return request


def _unfit(scenario: ScenarioConfig, special: set[str], prompting: Prompting, *, has_value_head: bool) -> str | None:
    """What a scenario needs that the model lacks."""
    prefix = scenario.prefix
    if prefix and prefix not in special and not prompting.control_tokens.tokens_in(prefix):
        return f"the model has no control token {prefix!r}. {did_you_mean(prefix, special)}"
    is_steered = prompting.control_tokens.tokens_in(prefix) or scenario.guidance_scale is not None
    if is_steered and prompting.control_tokens and not prompting.starts_texts:
        return NO_PREFIX
    if scenario.guidance_scale is not None and not prompting.can_steer:
        return "guidance_scale steers from one control token to another, and the model has none."
    if scenario.best_of != 1 and not has_value_head:
        return "best_of chooses by a value head, and the model has none."
    return None
