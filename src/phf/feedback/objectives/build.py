"""From the `objective` section of a configuration to an `Objective`."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from phf.errors import ConfigError, ObjectiveError
from phf.feedback.objectives.base import (
    LOG_ONE_MINUS_P,
    Objective,
    called,
    distributions_of,
    losses_of_log_odds,
    takes_log_one_minus_p,
)
from phf.registry.names import OBJECTIVES


def build_objective(config_section: Mapping[str, Any]) -> Objective:
    """Build `{"name": "AWR", "alpha": 0.5, ...}`.

    `name` is a shipped objective, a plugin's, or `package.module:ClassName`; the other keys are its arguments.
    Raises `ConfigError` for an unknown name or argument, a missing argument, or a value the objective refuses, and
    `ObjectiveError` for an objective whose `token_loss` does not keep the contract.
    """
    objective = OBJECTIVES.build(config_section, where="objective", name_key="name")
    if not isinstance(objective, Objective):
        raise ConfigError(f"objective.name: '{config_section['name']}' is not a phf.feedback.objectives.Objective.")
    check_objective(objective)
    return objective


def check_objective(objective: Objective) -> None:
    """Try `token_loss` on three targets, one of them unscored, so that a mistake is found before anything is trained.

    Raises `ObjectiveError` naming the class and what was expected. Other errors of the objective's own code pass through.
    """
    objective = copy.deepcopy(objective)  # one that keeps a state does not see what it is tried on
    log_odds = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    low, high = objective.score_range or (0.0, 1.0)
    scores = torch.tensor([low, high, torch.nan])
    values = torch.full((3,), -0.5, requires_grad=True) if objective.uses_values else None
    token_loss = objective.bind(scores, values)
    nll, log_one_minus_p = losses_of_log_odds(log_odds)
    both = takes_log_one_minus_p(token_loss)
    more = {LOG_ONE_MINUS_P: log_one_minus_p} if both else {}
    try:
        inspect.signature(token_loss).bind(nll, scores, values, **more)
    except TypeError as error:
        raise ObjectiveError(
            f"{type(objective).__name__}.token_loss cannot be called with (nll, scores, values): {error}. "
            "It must be defined as token_loss(self, nll, scores, values)."
        ) from error
    losses, _ = called(token_loss, nll, scores, values, log_one_minus_p if both else None)
    distributions_of(objective, scores, values)
    if not losses.requires_grad:
        raise ObjectiveError(
            f"{type(objective).__name__}.token_loss returned losses that do not depend on nll (or values) by operations "
            "of torch, so nothing would be learned. Do not detach them or build them from numbers."
        )
