"""What every objective is: a function of each target token's negative log-likelihood, its score and its value.

Everything the paper trains with (arXiv 2302.08582, section 2) has that form, so an objective writes one method,
`token_loss`, and gets from here the dense path over `[batch, seq, vocab]` logits. The chunked path that never builds
the logits is `phf.objectives.head`; both call the same `token_loss` and agree in value and gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE_INDEX = -100
"""A label of this value is no target: it has no loss and is not counted."""

TokenLoss = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, dict[str, Tensor]]]


class LossOutput(NamedTuple):
    """The loss to differentiate (scalar, nats) and scalars to log (detached)."""

    loss: Tensor
    logs: dict[str, Tensor]


class Objective:
    """A training objective. Subclasses define `token_loss`; nothing else is needed for a new one.

    Called as `objective(logits=, labels=, token_scores=, values=)` it is the dense reference. Scores are misalignment
    scores (higher is worse, reward = -score); an unscored token has score NaN and must get the loss of plain MLE.
    """

    uses_values: bool = False
    """Whether `token_loss` needs the value head's output."""

    def token_loss(self, nll: Tensor, scores: Tensor, values: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Per-token loss.

        Args:
            nll: [tokens] -log p(target token), nats, at least float32.
            scores: [tokens] score of the target token, NaN where unscored.
            values: [tokens] value predicted at the position before the target, or None without a value head.

        Returns:
            [tokens] losses, and [tokens] tensors to log. A logged tensor is averaged over the tokens where it is not
            NaN; one whose name ends in `_min` or `_max` is reduced by that instead.
        """
        raise NotImplementedError(f"{type(self).__name__} must define token_loss")  # for authors of objectives

    def bind(self, scores: Tensor, values: Tensor | None) -> TokenLoss:
        """The `token_loss` to use for one batch, given all its scores and values (for batch statistics)."""
        return self.token_loss

    def __call__(
        self,
        *,
        logits: Tensor,
        labels: Tensor,
        token_scores: Tensor | None = None,
        values: Tensor | None = None,
        num_items: Tensor | int | None = None,
    ) -> LossOutput:
        """The dense reference: the objective on whole logits, shifted inside so that position t predicts label t+1.

        Args:
            logits: [batch, seq, vocab].
            labels: [batch, seq] token ids, `IGNORE_INDEX` where there is no target.
            token_scores: [batch, seq] score of each token of `labels`, NaN where unscored; None: all unscored.
            values: [batch, seq] value head output; the value at t is paired with the reward of token t+1.
            num_items: what the summed loss is divided by: the number of targets of the whole optimiser step, over
                all micro-batches and processes. None: the targets of this batch.
        """
        targets = labels[:, 1:].reshape(-1)
        is_target = targets != IGNORE_INDEX
        targets = targets[is_target]
        shifted = logits[:, :-1].reshape(-1, logits.size(-1))[is_target]
        shifted = shifted.to(torch.promote_types(shifted.dtype, torch.float32))
        scores, values = select_targets(token_scores, values, is_target, shifted)
        nll = F.cross_entropy(shifted, targets, reduction="none")
        losses, token_logs = self.bind(scores, values)(nll, scores, values)
        logs = LogReducer()
        logs.add({"lm_loss": nll, **token_logs})
        return LossOutput(loss=losses.sum() / _count(num_items, targets), logs=logs.result())


class LogReducer:
    """Reduces per-token logs, added chunk by chunk, to one scalar a name: mean over non-NaN tokens, or min or max."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, token_logs: dict[str, Tensor]) -> None:
        """Add one chunk's `[tokens]` tensors."""
        for name, tensor in token_logs.items():
            tensor = tensor.detach()
            if name.endswith("_max"):
                self._fold(name, torch.maximum, tensor.nan_to_num(nan=-torch.inf).amax())
            elif name.endswith("_min"):
                self._fold(name, torch.minimum, tensor.nan_to_num(nan=torch.inf).amin())
            else:
                self._fold(name, torch.add, tensor.nansum())
                count = (~tensor.isnan()).sum()
                self._counts[name] = self._counts[name] + count if name in self._counts else count

    def _fold(self, name: str, combine: Callable[[Tensor, Tensor], Tensor], value: Tensor) -> None:
        self._sums[name] = combine(self._sums[name], value) if name in self._sums else value

    def result(self) -> dict[str, Tensor]:
        """name -> scalar; NaN where no token had a number."""
        return {
            name: total / self._counts[name] if name in self._counts else total for name, total in self._sums.items()
        }


def select_targets(
    token_scores: Tensor | None, values: Tensor | None, is_target: Tensor, like: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Shift and flatten `[batch, seq]` scores and values to the `[tokens]` that are targets.

    A target is paired with its own score and with the value at the position before it, in the dtype of `like`.
    """
    if token_scores is None:
        scores = torch.full((int(is_target.sum()),), torch.nan, dtype=like.dtype, device=like.device)
    else:
        scores = token_scores[:, 1:].reshape(-1)[is_target].to(like.dtype)
    if values is not None:
        values = values[:, :-1].reshape(-1)[is_target].to(like.dtype)
    return scores, values


def _count(num_items: Tensor | int | None, targets: Tensor) -> Tensor | int:
    return max(targets.numel(), 1) if num_items is None else num_items
