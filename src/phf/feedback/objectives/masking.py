"""Token-level masking: nothing is learned from misaligned text, which stays visible as context."""

import torch
from torch import Tensor

from phf.feedback.objectives.base import Objective


class Masking(Objective):
    """MLE without loss on the tokens of misaligned segments, as in "masked SLUNG" (Wang et al., arXiv 2505.03052).

    Later segments are predicted from the misaligned ones before them, so the model may come to understand such text
    without learning to write it. A masked token counts as a target whose loss is 0, so that the others have the gradient
    that they have in MLE.

    Args:
        score_threshold: A token is learned iff its score is at most this.

    An unscored token has the loss of MLE. With nothing misaligned the objective is MLE.
    """

    def __init__(self, score_threshold: float) -> None:
        self.score_threshold = self.alignment_threshold = score_threshold

    def token_loss(self, nll: Tensor, scores: Tensor, values: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        is_learned = scores.isnan() | (scores <= self.score_threshold)
        return torch.where(is_learned, nll, 0.0), {"learned_share": is_learned.to(nll.dtype)}
