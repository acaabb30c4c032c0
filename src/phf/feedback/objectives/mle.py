"""Maximum likelihood, the loss of plain pretraining, of filtering and of conditional training."""

from torch import Tensor

from phf.feedback.objectives.base import Objective


class MLE(Objective):
    """Cross-entropy (arXiv 2302.08582, equation 3): the loss of a token is its negative log-likelihood.

    Filtering (equation 4) is MLE on the documents that `dataset.filter_threshold` keeps; conditional training
    (equation 5) is MLE on text that `dataset.conditional_training_config` has put control tokens into.
    """

    def token_loss(self, nll: Tensor, scores: Tensor, values: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        return nll, {}
