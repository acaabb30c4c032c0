"""What every objective is: a function of each target token's negative log-likelihood, its score and its value.

Everything the paper trains with (arXiv 2302.08582, section 2) has that form, so an objective writes one method,
`token_loss`, and gets from here the dense path over `[batch, seq, vocab]` logits. The chunked path that never builds
the logits is `phf.models.head`; both call the same `token_loss` and agree in value and gradient.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from phf.errors import CorpusError, ObjectiveError
from phf.feedback.objectives.logs import LogTotals, Total

IGNORE_INDEX = -100
"""A label of this value is not a target: it has no loss and is not counted."""

TokenLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""`token_loss` of an objective, or what `bind` makes of it."""
LOG_ONE_MINUS_P = "log_one_minus_p"
"""Name of the argument that a `token_loss` has if it wants log(1 - p) too."""


class LossOutput(NamedTuple):
    """The loss to differentiate (scalar, nats), scalars to log, and the sums they come from (both detached)."""

    loss: Tensor
    logs: dict[str, Tensor]
    totals: dict[str, Total]


class Objective:
    """A training objective. Subclasses define `token_loss`; nothing else is needed for a new one.

    Called as `objective(logits=, labels=, token_scores=, values=)` it is the dense reference. Scores are misalignment
    scores (higher is worse, reward = -score); an unscored token has score NaN and must get the loss of plain MLE.
    """

    uses_values: bool = False
    """Whether `token_loss` needs the value head's output."""
    score_range: tuple[float, float] | None = None
    """Smallest and largest score that `token_loss` can use; None: any number. Data with others is refused."""
    alignment_threshold: float | None = None
    """The score up to which the objective counts a token as aligned; evaluation splits held-out text there. None where
    it draws no such line."""

    def token_loss(self, nll: Tensor, scores: Tensor, values: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Per-token loss.

        Args:
            nll: [tokens] -log p(target token), nats, at least float32.
            scores: [tokens] score of the target token, NaN where unscored.
            values: [tokens] value predicted at the position before the target, or None without a value head.

        A fourth argument called `log_one_minus_p` is given log(1 - p(target token)), [tokens], exact where p rounds to 1
        and nll to 0; gradients flow through it as through `nll`.

        Returns:
            [tokens] losses, and [tokens] tensors to log. A logged tensor is averaged over the tokens where it is not
            NaN; one whose name ends in `_min` or `_max` is reduced by that instead.
        """
        raise NotImplementedError(f"{type(self).__name__} must define token_loss")  # for authors of objectives

    def bind(self, scores: Tensor, values: Tensor | None) -> TokenLoss:
        """The `token_loss` to use for one batch, given all its scores and values (for batch statistics)."""
        return self.token_loss

    @property
    def has_batch_statistics(self) -> bool:
        """Whether `bind` looks at the targets of a batch, and so must be given nothing else."""
        return type(self).bind is not Objective.bind

    def distributions(self, scores: Tensor, values: Tensor | None) -> dict[str, Tensor]:
        """What the targets of a micro-batch are weighted by, whose distribution an inspection logs (`training.inspect_steps`):
        name -> [tokens], NaN for a target to leave out. Nothing by default.

        Args:
            scores: [tokens], as `token_loss` gets them.
            values: the same.
        """
        return {}

    def check_scores(self, scores: np.ndarray, where: str = "") -> None:
        """Raises `CorpusError` for a score outside of `score_range`; NaN, unscored, is always allowed."""
        if self.score_range is None:
            return
        low, high = self.score_range
        outside = scores[(scores < low) | (scores > high)]
        if outside.size:
            raise CorpusError(
                f"{type(self).__name__} as configured needs scores in [{low:g}, {high:g}], but {where or 'the data'} has "
                f"{outside.flat[0]:g}. Set objective.score_threshold, or use scores in that range."
            )

    def __call__(
        self,
        *,
        logits: Tensor,
        labels: Tensor,
        token_scores: Tensor | None = None,
        values: Tensor | None = None,
        num_items: Tensor | int | None = None,
        may_ignore: bool = True,
    ) -> LossOutput:
        """The dense reference: the objective on whole logits, shifted inside so that position t predicts label t+1.

        Args:
            logits: [batch, seq, vocab].
            labels: [batch, seq] token ids, `IGNORE_INDEX` where there is no target.
            token_scores: [batch, seq] score of each token of `labels`, NaN where unscored; None: all unscored.
            values: [batch, seq] value head output; the value at t is paired with the reward of token t+1.
            num_items: what the summed loss is divided by: the number of targets of the whole optimiser step, over
                all micro-batches and processes. None: the targets of this batch.
            may_ignore: whether any label after the first may be `IGNORE_INDEX`; looking for it waits for a GPU.
        """
        is_target = target_positions(labels) if may_ignore else None
        targets = of_targets(labels[:, 1:], is_target)
        shifted = of_targets(logits[:, :-1], is_target)
        shifted = shifted.to(torch.promote_types(shifted.dtype, torch.float32))
        if (
            token_scores is not None and token_scores.device.type == "cpu"
        ):  # elsewhere looking would wait for the device
            self.check_scores(token_scores.numpy())
        scores, values = select_targets(token_scores, values, is_target, shifted)
        token_loss = self.bind(scores, values)
        wants_both = takes_log_one_minus_p(token_loss)
        if wants_both:
            nll, log_one_minus_p = log_odds_losses(shifted, targets)
        else:
            nll, log_one_minus_p = F.cross_entropy(shifted, targets, reduction="none"), None
        losses, token_logs = called(token_loss, nll, scores, values, log_one_minus_p)
        totals = LogTotals()
        totals.add_nll(nll)
        totals.add_tokens(token_logs)
        loss = losses.sum() / (max(targets.numel(), 1) if num_items is None else num_items)
        return LossOutput(loss, totals.means(), totals.totals)


def takes_log_one_minus_p(token_loss: TokenLoss) -> bool:
    """Whether a `token_loss` has an argument for log(1 - p)."""
    return LOG_ONE_MINUS_P in inspect.signature(token_loss).parameters


def called(
    token_loss: TokenLoss, nll: Tensor, scores: Tensor, values: Tensor | None, log_one_minus_p: Tensor | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """What `token_loss` answers. Raises `ObjectiveError` where it is not what the contract says."""
    more = {} if log_one_minus_p is None else {LOG_ONE_MINUS_P: log_one_minus_p}
    answer = token_loss(nll, scores, values, **more)
    name = _class_name(token_loss)
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
        raise ObjectiveError(
            f"{name}.token_loss returned {_described(answer)}; it must return two things: the losses, a tensor with one "
            "number per target like `nll`, and a dictionary of tensors to log (empty: {})."
        )
    losses, logs = answer
    _require_like(nll, losses, f"{name}.token_loss returned as losses")
    _require_logs(nll, logs, f"{name}.token_loss")
    return losses, logs


def distributions_of(objective: Objective, scores: Tensor, values: Tensor | None) -> dict[str, Tensor]:
    """The `distributions` of an objective. Raises `ObjectiveError` where they are not what the contract says."""
    tensors: Any = objective.distributions(scores, values)  # whatever the annotation says
    method = f"{type(objective).__name__}.distributions"
    if not isinstance(tensors, dict):
        raise ObjectiveError(f"{method} returned {_described(tensors)}; it must return a dictionary of tensors.")
    _require_logs(scores, tensors, method)
    return tensors


def _require_logs(nll: Tensor, logs: dict[Any, Any], method: str) -> None:
    for key, tensor in logs.items():
        if not isinstance(key, str):
            raise ObjectiveError(f"{method} logs under {key!r}; names of logs must be strings.")
        _require_like(nll, tensor, f"{method} returned as log '{key}'", any_float=True)


def _require_like(nll: Tensor, returned: Any, what: str, any_float: bool = False) -> None:
    is_like = (
        isinstance(returned, Tensor)
        and returned.shape == nll.shape
        and returned.device == nll.device
        and (returned.dtype == nll.dtype or (any_float and returned.dtype.is_floating_point))
    )
    if not is_like:
        dtype = "floating-point" if any_float else str(nll.dtype).removeprefix("torch.")
        raise ObjectiveError(
            f"{what} {_described(returned)}; expected a tensor like `nll`: shape {list(nll.shape)} (one number per target), "
            f"{dtype}, on {nll.device}."
        )


def _described(returned: Any) -> str:
    if isinstance(returned, Tensor):
        return f"a tensor of shape {list(returned.shape)}, {str(returned.dtype).removeprefix('torch.')}, on {returned.device}"
    if isinstance(returned, tuple):
        return f"a tuple of {len(returned)} ({', '.join(type(item).__name__ for item in returned)})"
    return f"a {type(returned).__name__}"


def _class_name(token_loss: TokenLoss) -> str:
    function = getattr(token_loss, "func", token_loss)  # of a functools.partial
    owner = getattr(function, "__self__", None)
    return type(owner).__name__ if owner is not None else getattr(function, "__qualname__", type(function).__name__)


def log_odds_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """[tokens] -log p and log(1 - p) of `targets`, both exact for any gap between the target's logit and the others.

    With d = logit of the target - logsumexp(the other logits), the log odds: -log p = softplus(-d) and
    log(1 - p) = -softplus(d). Neither is formed from a p that has been rounded.
    """
    index = targets.unsqueeze(1)
    others = logits.scatter(1, index, -torch.inf).logsumexp(dim=1)
    return losses_of_log_odds(overflow_is_nan(logits.gather(1, index).squeeze(1) - others))


def overflow_is_nan(log_odds: Tensor) -> Tensor:
    """NaN where a target's logit has overflowed to infinity, which must not pass for certainty."""
    return torch.where(log_odds == torch.inf, torch.nan, log_odds)


def losses_of_log_odds(log_odds: Tensor) -> tuple[Tensor, Tensor]:
    """(-log p, log(1 - p)) where log_odds = log(p / (1 - p))."""
    zero = torch.zeros_like(log_odds)
    return torch.logaddexp(zero, -log_odds), -torch.logaddexp(zero, log_odds)


def target_positions(labels: Tensor) -> Tensor | None:
    """[batch * (seq - 1)] bool: which labels after the first are targets; None if all are and finding out costs nothing.

    Where all are, slices are enough. A mask copies what it selects from, and its sum has to be read from the device.
    """
    is_target = labels[:, 1:].reshape(-1) != IGNORE_INDEX
    return None if is_target.device.type == "cpu" and bool(is_target.all()) else is_target


def of_targets(tensor: Tensor, is_target: Tensor | None) -> Tensor:
    """`[batch, seq - 1, ...]` flattened to the `[tokens, ...]` that are targets; None: all are."""
    flat = tensor.flatten(0, 1)
    return flat if is_target is None else flat[is_target]


def select_targets(
    token_scores: Tensor | None, values: Tensor | None, is_target: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Shift and flatten `[batch, seq]` scores and values to the `[tokens]` that are targets.

    A target is paired with its own score and with the value at the position before it, in the dtype of `like`, which
    has a row for each target.
    """
    if token_scores is None:
        scores = like.new_full((len(like),), torch.nan)
    else:
        scores = of_targets(token_scores[:, 1:], is_target).to(like.dtype)
    if values is not None:
        values = of_targets(values[:, :-1], is_target).to(like.dtype)
    return scores, values
