"""Turns logits in place into D, minus the derivative of their targets' log odds d with respect to the logits, and returns d.

With q the softmax over all logits but the target's, d = logit of the target - logsumexp(the others) and D = q - onehot.
Twice: with one reused buffer and few passes for a CPU and for a GPU without a compiler, and as an expression that
`torch.compile` fuses.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from phf.feedback.objectives.base import overflow_is_nan

TurnIntoDifference = Callable[[Tensor, Tensor, int], Tensor]
"""`turn_into_difference`, or what `torch.compile` makes of it."""


def turn_into_difference_in_place(logits: Tensor, targets: Tensor, softmax: Tensor | None) -> Tensor:
    """Write D in the place of [rows, columns] `logits`. Returns the [rows] log odds.

    Args:
        logits: -inf beyond the vocabulary, where D is then 0.
        targets: int64 [rows, 1].
        softmax: [at least rows, columns], memory in the dtype of the softmax; None: that of the logits is used.
    """
    others = logits if softmax is None else softmax[: len(logits)].copy_(logits)
    target_logits = others.gather(1, targets)
    others.scatter_(1, targets, -torch.inf)
    largest = others.amax(dim=1, keepdim=True)
    torch.softmax(others, dim=1, out=others)
    # the largest share is at least 1 / vocab, so its log is exact, unlike that of a tiny one
    log_normaliser = largest - others.amax(dim=1, keepdim=True).log()
    others.scatter_(1, targets, -1.0)
    if others is not logits:
        logits.copy_(others)
    return overflow_is_nan(target_logits - log_normaliser).squeeze(1)


def turn_into_difference(logits: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """The same as an expression, for `torch.compile`: one or two passes over the logits, no other tensors of their size.

    Args:
        logits: anything beyond `vocab_size` columns, where D is then 0.
        targets: int64 [rows, 1].
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    columns = torch.arange(logits.size(1), device=logits.device)
    is_target = columns == targets
    others = wide.masked_fill(is_target | (columns >= vocab_size), -torch.inf)
    largest = others.amax(dim=1, keepdim=True)
    share = (others - largest).exp()
    total = share.sum(dim=1, keepdim=True)
    target_logits = torch.where(is_target, wide, 0.0).sum(
        dim=1, keepdim=True
    )  # gathered, it would need a separate pass
    log_odds = target_logits - (largest + total.log())
    logits.copy_(torch.where(is_target, -1.0, share / total))
    return overflow_is_nan(log_odds).squeeze(1)
