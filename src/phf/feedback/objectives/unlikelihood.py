"""Unlikelihood training (Welleck et al., arXiv 1908.04319; arXiv 2302.08582, equation 6)."""

import torch
from torch import Tensor

from phf.errors import ConfigError
from phf.feedback.objectives.base import Objective

MIN_ONE_MINUS_P = 1e-20
"""Where `token_loss` is called by hand with nothing but nll, 1 - p is clamped here, as in the released system."""


class Unlikelihood(Objective):
    """Maximise log p of aligned tokens and `alpha` * log(1 - p) of misaligned ones.

    log(1 - p) is computed from the logits, not from p, so a token that the model is sure of is unlearned with the full
    gradient (1 with respect to its logit), in float32 for any gap to the other logits.

    Args:
        score_threshold: A token is aligned iff its score <= `score_threshold`; 0.0 is a threshold like any other.
            None weights the two terms softly instead: likelihood by 1 - score, unlikelihood by score; scores must
            then lie in [0, 1]. That is what the released code did whenever the threshold was 0, so None reproduces it.
        alpha: Weight of the unlikelihood term, >= 0.

    An unscored token has the loss of MLE. With nothing misaligned the objective is MLE.
    """

    def __init__(self, score_threshold: float | None, alpha: float) -> None:
        if alpha < 0:
            raise ConfigError(f"objective.alpha is {alpha}; Unlikelihood needs alpha >= 0.")
        self.score_threshold = self.alignment_threshold = score_threshold
        self.alpha = alpha
        if score_threshold is None:
            self.score_range = (0.0, 1.0)

    def token_loss(
        self, nll: Tensor, scores: Tensor, values: Tensor | None, log_one_minus_p: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if log_one_minus_p is None:
            # -expm1(-nll) is 1 - p without the cancellation that 1 - exp(-nll) has for small p
            log_one_minus_p = (-torch.expm1(-nll)).clamp(min=MIN_ONE_MINUS_P).log()
        if self.score_threshold is None:
            likelihood_weight = 1 - scores
        else:
            likelihood_weight = (scores <= self.score_threshold).to(nll.dtype)
        likelihood_weight = torch.where(scores.isnan(), 1.0, likelihood_weight)
        likelihood_loss = likelihood_weight * nll
        unlikelihood_loss = -(1 - likelihood_weight) * log_one_minus_p
        logs = {
            "aligned_token_share": likelihood_weight,
            "likelihood_loss": likelihood_loss,
            "unlikelihood_loss": unlikelihood_loss,
        }
        return likelihood_loss + self.alpha * unlikelihood_loss, logs
