"""A task as it is put to one model: prompted as the model says of itself, without the scenarios that it cannot run."""

from typing import Any

from phf.config import ConditionalTrainingConfig, Config, ScenarioConfig
from phf.registry.names import did_you_mean


def conditional_of(prompting: dict[str, Any]) -> ConditionalTrainingConfig | None:
    """The control tokens of an exported model, as the configuration has them."""
    if prompting["control_tokens"] is None:
        return None
    aligned, misaligned = prompting["control_tokens"]
    return ConditionalTrainingConfig(
        threshold=prompting["threshold"] or 0.0,
        aligned_prefix=aligned,
        misaligned_prefix=misaligned,
        tag_every_segment_when_sampling=prompting["tag_every_segment_when_sampling"],
    )


def task_for_model(
    config: Config, conditional: ConditionalTrainingConfig | None, tokenizer: Any, *, has_value_head: bool
) -> tuple[Config, list[str]]:
    """The task's configuration with the model's own prefix in its scenarios, and a notice for each scenario left out.

    A scenario without a prefix, or with the aligned one of the configuration's own method, starts from the model's aligned
    token. One that needs a control token or a value head that the model lacks is left out. Metrics are measured apart.
    """
    own = config.dataset.conditional_training_config
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    kept, notices = [], []
    for scenario in config.generation.scenario_configs:
        prefix = scenario.prefix
        if prefix is None or (own is not None and prefix == own.aligned_prefix):
            prefix = None if conditional is None else conditional.aligned_prefix
        prompted = scenario.model_copy(update={"prefix": prefix})
        reason = _unfit(prompted, special, is_conditional=conditional is not None, has_value_head=has_value_head)
        if reason is None:
            kept.append(prompted)
        else:
            notices.append(f"scenario '{scenario.name}' is skipped: {reason}")
    update = {"metrics_configs": [], "scenario_configs": kept}
    return config.model_copy(update={"generation": config.generation.model_copy(update=update)}), notices


def _unfit(scenario: ScenarioConfig, special: set[str], *, is_conditional: bool, has_value_head: bool) -> str | None:
    """What a scenario needs that the model lacks."""
    prefix = scenario.prefix
    if prefix and prefix not in special:
        return f"the model has no control token {prefix!r}. {did_you_mean(prefix, special)}"
    if scenario.guidance_scale is not None and not is_conditional:
        return "guidance_scale steers between two control tokens, and the model has none."
    if scenario.best_of != 1 and not has_value_head:
        return "best_of chooses by a value head, and the model has none."
    return None
