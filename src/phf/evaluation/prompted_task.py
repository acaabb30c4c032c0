"""A task adapted to one model: with the model's own prompting, without the scenarios that it cannot run."""

from typing import Any

from phf.config import Config, ScenarioConfig
from phf.feedback import NO_CONTROL_TOKENS, ControlTokens, Prompting
from phf.registry.names import did_you_mean


def task_for_model(
    config: Config, prompting: Prompting, tokenizer: Any, *, has_value_head: bool
) -> tuple[Config, list[str]]:
    """The task's configuration with the model's own prefix in its scenarios, and a notice for each scenario left out.

    A scenario without a prefix, or with the best one of the configuration's own method, starts from the model's best
    control token. One that needs a control token or a value head that the model lacks is left out. Metrics are measured
    apart.
    """
    tagging = config.dataset.tagging
    own = NO_CONTROL_TOKENS if tagging is None else ControlTokens(tuple(tagging.control_tokens))
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    kept, notices = [], []
    for scenario in config.generation.scenario_configs:
        prefix = scenario.prefix
        if prefix is None or prefix == own.best:
            prefix = prompting.prefix
        prompted = scenario.model_copy(update={"prefix": prefix})
        reason = _unfit(prompted, special, can_steer=prompting.can_steer, has_value_head=has_value_head)
        if reason is None:
            kept.append(prompted)
        else:
            notices.append(f"scenario '{scenario.name}' is skipped: {reason}")
    update = {"metrics_configs": [], "scenario_configs": kept}
    return config.model_copy(update={"generation": config.generation.model_copy(update=update)}), notices


def _unfit(scenario: ScenarioConfig, special: set[str], *, can_steer: bool, has_value_head: bool) -> str | None:
    """What a scenario needs that the model lacks."""
    prefix = scenario.prefix
    if prefix and prefix not in special:
        return f"the model has no control token {prefix!r}. {did_you_mean(prefix, special)}"
    if scenario.guidance_scale is not None and not can_steer:
        return "guidance_scale steers from one control token to another, and the model has none."
    if scenario.best_of != 1 and not has_value_head:
        return "best_of chooses by a value head, and the model has none."
    return None
