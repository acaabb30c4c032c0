"""The chunked head on a batch, whose tokens need not all be targets."""

import torch
from torch import Tensor

from phf.feedback.objectives import LossOutput, Objective
from phf.feedback.objectives.base import of_targets, select_targets, target_positions
from phf.models.head import chunked_loss
from phf.models.log_odds import TurnIntoDifference


def loss_of_batch(
    *,
    hidden: Tensor,
    weight: Tensor,
    input_ids: Tensor,
    labels: Tensor | None,
    token_scores: Tensor | None,
    values: Tensor | None,
    objective: Objective,
    num_items: Tensor | int | None,
    compiled: TurnIntoDifference | None = None,
) -> LossOutput:
    """`chunked_loss` of a batch, shifted inside so that position t predicts label t+1.

    Args:
        hidden: [batch, seq, width] last hidden state.
        weight: [vocab, width] of the output embedding.
        input_ids, labels, token_scores: [batch, seq]; see `phf.models.module.ObjectiveLM.forward`.
        values: [batch, seq] of the value head, or None.
        objective: any `Objective`.
        num_items: divisor of the summed loss; None: the number of targets.
        compiled: see `chunked_loss`.
    """
    selected = None if labels is None else target_positions(labels)
    is_target = None
    if selected is not None and keeps_rows(selected.device) and not objective.has_batch_statistics:
        selected, is_target = None, selected
    targets = of_targets((input_ids if labels is None else labels)[:, 1:], selected)
    like = torch.empty_like(targets, dtype=torch.promote_types(hidden.dtype, torch.float32))
    scores, values = select_targets(token_scores, values, selected, like)
    if num_items is None:
        num_items = max(targets.numel(), 1) if is_target is None else is_target.sum().clamp(min=1)
    return chunked_loss(
        hidden=of_targets(hidden[:, :-1], selected),
        weight=weight,
        targets=targets if is_target is None else targets.clamp(min=0),
        scores=scores,
        values=values,
        objective=objective,
        num_items=num_items,
        is_target=is_target,
        compiled=compiled,
    )


def keeps_rows(device: torch.device) -> bool:
    """Whether tokens that are not targets stay among the others, without loss.

    To copy the others out of them, a GPU would have to wait for their number, which differs from batch to batch.
    """
    return device.type != "cpu"
