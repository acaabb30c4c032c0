"""Advantage-weighted regression (Peng et al., arXiv 1910.00177; arXiv 2302.08582, equations 7 and 8)."""

from functools import partial

import torch
from torch import Tensor

from phf.errors import ConfigError
from phf.feedback.objectives.base import Objective, TokenLoss


class AWR(Objective):
    """Likelihood weighted by exp(advantage / beta), plus the value head's squared error.

    Per token, with reward R = -score, value V and advantage A = R - V (V detached):
    `alpha * min(exp(A / beta), clip_weight_max) * nll + (1 - alpha) * (V - R)^2`.

    RWR, reward-weighted regression, is `alpha=1`: no value is learned, A = R.

    Args:
        alpha: Share of the language modelling loss, in [0, 1].
        beta: Temperature, > 0; small values follow the reward closely, a huge one gives alpha * MLE.
        use_value_head: Subtract a learned value. None (default): exactly when alpha < 1, since at alpha = 1 nothing
            trains the head. True with alpha = 1 reproduces the released RWR: its untrained head answers V = -0.5.
        fixed_value: Subtract this constant instead; 0.0 is a constant like any other.
        clip_value: Clamp V to [-1, 0], the range of rewards whose scores are probabilities.
        clip_weight_max: Largest weight of a token, > 0.
        normalize_advantage: Whiten the advantages over the scored targets of the micro-batch. The only setting that
            makes the result depend on how a batch is cut into micro-batches.

    An unscored token has weight 1 (what MLE gives it, before the common factor alpha) and no value loss.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 1.0,
        use_value_head: bool | None = None,
        fixed_value: float | None = None,
        clip_value: bool = False,
        clip_weight_max: float = 1000.0,
        normalize_advantage: bool = False,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"objective.alpha is {alpha}; AWR needs 0 <= alpha <= 1.")
        if beta <= 0:
            raise ConfigError(f"objective.beta is {beta}; AWR needs beta > 0.")
        if clip_weight_max <= 0:
            raise ConfigError(f"objective.clip_weight_max is {clip_weight_max}; AWR needs a number > 0.")
        if fixed_value is not None and use_value_head:
            raise ConfigError("objective.fixed_value and objective.use_value_head: true contradict; set one of them.")
        self.alpha = alpha
        self.beta = beta
        self.uses_values = use_value_head if use_value_head is not None else alpha < 1 and fixed_value is None
        self.fixed_value = fixed_value
        self.clip_value = clip_value
        self.clip_weight_max = clip_weight_max
        self.normalize_advantage = normalize_advantage

    def advantage(self, scores: Tensor, values: Tensor | None) -> Tensor:
        """A = R - V, without gradient; NaN where unscored."""
        if self.fixed_value is not None:
            return -scores - self.fixed_value
        if self.uses_values:
            assert values is not None, "AWR with a value head was called without values"
            return -scores - self._clipped(values).detach()
        return -scores

    @property
    def has_batch_statistics(self) -> bool:
        return self.normalize_advantage or type(self).bind is not AWR.bind

    def bind(self, scores: Tensor, values: Tensor | None) -> TokenLoss:
        if not self.normalize_advantage:
            return self.token_loss
        shift, scale = _whitening(self.advantage(scores, values))
        return partial(self.token_loss, shift=shift, scale=scale)

    def distributions(self, scores: Tensor, values: Tensor | None) -> dict[str, Tensor]:
        advantage = self.advantage(scores, values)
        if self.normalize_advantage:
            shift, scale = _whitening(advantage)
            advantage = (advantage - shift) / scale
        return {"advantage": advantage, "weight": self._weights(advantage)}

    def token_loss(
        self,
        nll: Tensor,
        scores: Tensor,
        values: Tensor | None,
        shift: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        is_unscored = scores.isnan()
        advantage = (self.advantage(scores, values) - shift) / scale
        weights = torch.where(is_unscored, 1.0, self._weights(advantage))
        losses = self.alpha * weights * nll
        nan = torch.nan
        logs = {
            "weighted_lm_loss": weights.detach() * nll,
            "weight_avg": torch.where(is_unscored, nan, weights),
            "weight_max": torch.where(is_unscored, nan, weights),
            "advantage_avg": advantage,
        }
        if self.uses_values:
            assert values is not None, "AWR with a value head was called without values"
            # nan_to_num before the subtraction: where() alone would send NaN gradients to the value head
            error = self._clipped(values) + scores.nan_to_num()
            value_loss = torch.where(is_unscored, 0.0, error.square())
            losses = losses + (1 - self.alpha) * value_loss
            logs |= {"value_loss": torch.where(is_unscored, nan, value_loss), "value_avg": values}
        return losses, logs

    def _weights(self, advantage: Tensor) -> Tensor:
        return torch.exp(advantage / self.beta).clamp(max=self.clip_weight_max)

    def _clipped(self, values: Tensor) -> Tensor:
        return values.clamp(-1, 0) if self.clip_value else values


def _whitening(advantage: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of the advantages that are not NaN."""
    mean, num_scored = advantage.nanmean(), (~advantage.isnan()).sum()
    std = ((advantage - mean).square().nansum() / (num_scored - 1).clamp(min=1)).sqrt()
    return mean, std + 1e-10
