"""Linear head + softmax + objective, chunk by chunk, with the gradient computed in the forward pass.

The `[tokens, vocab]` logits are by far the largest tensor of a small language model's step. Here they exist only a
few hundred tokens at a time, in one buffer that is reused. Once a chunk's targets have their negative log-likelihood,
the objective's derivative with respect to it is known, and with it the chunk's whole gradient: nothing is recomputed
in the backward pass, which only multiplies by the incoming gradient.

A target's loss depends on the logits only through its log odds, d = logit - logsumexp(the other logits), and
-log p = softplus(-d), log(1 - p) = -softplus(d) are exact for any d. With q the softmax over the other logits,
D = q - onehot and g = -d loss / d d:
    d hidden = g * (D @ weight)        d weight = D.T @ (g * hidden)
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from phf.feedback.objectives.base import (
    LossOutput,
    Objective,
    TokenLoss,
    called,
    losses_of_log_odds,
    takes_log_one_minus_p,
)
from phf.feedback.objectives.logs import LogTotals
from phf.models.log_odds import TurnIntoDifference, turn_into_difference_in_place

CPU_LOGITS = 2**26
"""Logits that exist at once on a CPU: 256 MiB in float32. With half of them, products take up to 4% longer."""
GPU_BYTES = 2**29
"""Memory for logits and their softmax on a GPU, 512 MiB: longer chunks are no faster, shorter ones are mostly launches."""
CPU_SOFTMAX_ELEMENTS = 2**20
"""Logits whose softmax a CPU computes at a time: few enough to stay in its cache from one pass to the next."""
CPU_VOCAB_BLOCK = 4096
"""Columns of the logits that a CPU computes at a time in half precision, and rows of the weight's gradient: few enough to
stay in its cache until they are converted and written."""
ALIGNMENT = 64
"""Rows of the buffer begin at multiples of this many elements: with 50,257 columns side by side, a CPU needs 1.5x as long to
write logits, and a GPU cannot use its fastest kernels."""
GPU_ROWS = 128
"""Chunks on a GPU have a multiple of this many tokens, the rows of a tile of its matrix products."""


@torch.compiler.disable  # it writes into buffers that it keeps, and its gradient is computed explicitly
def chunked_loss(
    *,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    scores: Tensor,
    values: Tensor | None,
    objective: Objective,
    num_items: Tensor | int,
    is_target: Tensor | None = None,
    chunk_tokens: int | None = None,
    compiled: TurnIntoDifference | None = None,
) -> LossOutput:
    """The objective's loss without `[tokens, vocab]` logits. Same value and gradients as the dense reference.

    Args:
        hidden: [tokens, width] last hidden state at the positions that predict `targets`.
        weight: [vocab, width] of the output embedding, without bias.
        targets: [tokens] token ids, all in the vocabulary.
        scores: [tokens], NaN where unscored.
        values: [tokens] or None.
        objective: any `Objective`.
        num_items: divisor of the summed loss; see `Objective.__call__`.
        is_target: [tokens] bool, False for tokens without loss, which are not counted or logged either; None: all have one.
            Not for an objective that has statistics of the batch, which must be given its targets alone.
        chunk_tokens: tokens whose logits exist at once; None chooses by device and vocabulary.
        compiled: `turn_into_difference` after `torch.compile`, which needs less memory and reads
            it less often; None: not compiled.

    Under autocast the matrix products run in the autocast dtype; softmax, loss and the weight's gradient stay float32.
    """
    assert is_target is None or not objective.has_batch_statistics
    totals = LogTotals()
    token_loss = objective.bind(scores, values)
    total = _ChunkedHead.apply(
        hidden, weight, targets, scores, values, is_target, token_loss, totals, chunk_tokens, compiled
    )
    return LossOutput(total / num_items, totals.means(), totals.totals)


@torch.no_grad()
def chunked_nll(hidden: Tensor, weight: Tensor, targets: Tensor, chunk_tokens: int | None = None) -> Tensor:
    """[tokens] negative log-likelihood of `targets` in nats, for evaluation; arguments as in `chunked_loss`."""
    chunks = _Chunks(hidden, weight, targets, chunk_tokens)
    return torch.cat([losses_of_log_odds(chunks.log_odds_and_difference(start)[0])[0] for start in chunks.starts])


def default_chunk_tokens(num_columns: int, device_type: str, bytes_per_logit: int) -> int:
    """Number of tokens whose logits fit into the memory for them on this device, at least 16."""
    num_logits = CPU_LOGITS if device_type == "cpu" else GPU_BYTES // bytes_per_logit
    return max(16, num_logits // num_columns)


_buffers: dict[tuple[torch.dtype, torch.device], Tensor] = {}
"""Kept from step to step on a CPU, where allocating memory costs more than the computation."""


def _buffer(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of `shape` to write to: the same on every call."""
    num_elements = shape[0] * shape[1]
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    if (dtype, device) not in _buffers or _buffers[dtype, device].numel() < num_elements:
        with torch.inference_mode(False):  # memory made in inference mode could not be written to outside of it
            _buffers[dtype, device] = torch.empty(num_elements, dtype=dtype, device=device)
    return _buffers[dtype, device][:num_elements].view(shape)


class _Chunks:
    """One pass over the tokens: the logits of each chunk, in one buffer, turned into log odds and their derivatives."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        chunk_tokens: int | None,
        compiled: TurnIntoDifference | None = None,
    ) -> None:
        device = hidden.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        else:
            dtype = weight.dtype
        self.hidden = hidden.to(dtype)
        self.vocab_size = weight.size(0)
        self.softmax_dtype = torch.promote_types(dtype, torch.float32)
        has_own_softmax = compiled is None and self.softmax_dtype != dtype
        bytes_per_logit = dtype.itemsize + has_own_softmax * self.softmax_dtype.itemsize
        num_columns = -(-self.vocab_size // ALIGNMENT) * ALIGNMENT
        chunk_tokens = chunk_tokens or default_chunk_tokens(self.vocab_size, device, bytes_per_logit)
        if device == "cpu":
            self.weight = weight.to(dtype)
        else:  # with rows of zeros, for matrix products without an edge
            self.weight = F.pad(weight.to(dtype), (0, 0, 0, num_columns - self.vocab_size))
            chunk_tokens = _even_chunks(targets.numel(), chunk_tokens)
        self.targets = targets
        self.chunk_tokens = chunk_tokens
        self.starts = range(0, targets.numel(), chunk_tokens)
        num_rows = min(chunk_tokens, targets.numel())
        self.rows_at_once = min(max(1, CPU_SOFTMAX_ELEMENTS // num_columns), num_rows) if device == "cpu" else num_rows
        self._logits = _buffer((num_rows, num_columns), dtype, hidden.device)
        self._softmax = (
            _buffer((self.rows_at_once, num_columns), self.softmax_dtype, hidden.device) if has_own_softmax else None
        )
        self._compiled = compiled

    def span(self, start: int) -> slice:
        return slice(start, min(start + self.chunk_tokens, self.targets.numel()))

    def log_odds_and_difference(self, start: int) -> tuple[Tensor, Tensor]:
        """[rows] log odds d of the targets, and [rows, columns] D, minus the derivative of d with respect to the logits.

        D is a view of the buffer, in the dtype of matrix products, valid until the next call. It has as many columns as
        `weight` has rows; those beyond the vocabulary are 0.
        """
        span = self.span(start)
        logits = self._logits[: span.stop - span.start]
        with torch.autocast(logits.device.type, enabled=False):
            for columns in _vocab_blocks(self.weight.dtype, self.weight):
                torch.mm(self.hidden[span], self.weight[columns].T, out=logits[:, columns])
        targets = self.targets[span].unsqueeze(1)
        if self._compiled is not None:
            log_odds = self._compiled(logits, targets, self.vocab_size)
        else:
            logits[:, self.vocab_size :] = -torch.inf
            parts = zip(logits.split(self.rows_at_once), targets.split(self.rows_at_once), strict=True)
            log_odds = torch.cat([turn_into_difference_in_place(*part, self._softmax) for part in parts])
        return log_odds, logits[:, : len(self.weight)]


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        scores: Tensor,
        values: Tensor | None,
        is_target: Tensor | None,
        token_loss: TokenLoss,
        totals: LogTotals,
        chunk_tokens: int | None,
        compiled: TurnIntoDifference | None,
    ) -> Tensor:
        need_hidden, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        need_values = values is not None and ctx.needs_input_grad[4]
        chunks = _Chunks(hidden, weight, targets, chunk_tokens, compiled)
        total = torch.zeros((), dtype=chunks.softmax_dtype, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = weight.new_zeros(chunks.weight.shape) if need_weight else None
        grad_values = torch.empty_like(values) if need_values and values is not None else None
        for start in chunks.starts:
            span = chunks.span(start)
            log_odds, difference = chunks.log_odds_and_difference(start)
            value, counts = (None if tensor is None else tensor[span] for tensor in (values, is_target))
            loss, grad_log_odds, grad_value = _token_gradients(
                token_loss, log_odds, scores[span], value, counts, totals
            )
            total += loss
            if grad_values is not None:
                grad_values[span] = 0 if grad_value is None else grad_value
            if grad_hidden is None and grad_weight is None:
                continue
            scale = -grad_log_odds.unsqueeze(1)
            with torch.autocast(hidden.device.type, enabled=False):
                if grad_hidden is not None:
                    grad_hidden[span] = (difference @ chunks.weight) * scale
                if grad_weight is not None:
                    scaled = (chunks.hidden[span] * scale).to(difference.dtype)
                    _add_product(grad_weight, difference.T, scaled)
        if grad_weight is not None:
            grad_weight = grad_weight[: len(weight)]
        ctx.save_for_backward(grad_hidden, grad_weight, grad_values)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_output,) = grad_outputs
        saved = [None if grad is None else grad.mul_(grad_output.to(grad.dtype)) for grad in ctx.saved_tensors]
        grad_hidden, grad_weight, grad_values = saved
        return grad_hidden, grad_weight, None, None, grad_values, *[None] * 5


def _even_chunks(num_tokens: int, most: int) -> int:
    """Tokens of a chunk so that none is much smaller than the others."""
    num_chunks = max(1, -(-num_tokens // most))
    rows = -(-num_tokens // num_chunks)
    return min(most, -(-rows // GPU_ROWS) * GPU_ROWS)


def _vocab_blocks(dtype: torch.dtype, weight: Tensor) -> list[slice]:
    """Parts of the vocabulary whose products, of factors in `dtype`, are computed one after the other."""
    end = len(weight)
    size = CPU_VOCAB_BLOCK if weight.device.type == "cpu" and dtype.itemsize < 4 else end
    return [slice(start, min(start + size, end)) for start in range(0, end, size)]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, accumulated in the dtype of `total`."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
        return
    if (
        total.is_cuda and torch.version.hip is None
    ):  # in one pass, and the sum is not rounded to the dtype of the factors
        torch.addmm(total, left, right, out_dtype=total.dtype, out=total)
        return
    for rows in _vocab_blocks(left.dtype, total):
        total[rows] += left[rows] @ right


def _token_gradients(
    token_loss: TokenLoss,
    log_odds: Tensor,
    scores: Tensor,
    values: Tensor | None,
    is_target: Tensor | None,
    totals: LogTotals,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Summed loss of a chunk and its derivatives with respect to the targets' log odds and to values, each `[rows]`, 0 where
    `is_target` is False."""
    with torch.enable_grad():
        log_odds = log_odds.detach().requires_grad_()
        leaves = [log_odds]
        if values is not None:
            values = values.detach().requires_grad_()
            leaves.append(values)
        nll, log_one_minus_p = losses_of_log_odds(log_odds)
        both = takes_log_one_minus_p(token_loss)
        losses, token_logs = called(token_loss, nll, scores, values, log_one_minus_p if both else None)
        loss = losses.sum() if is_target is None else torch.where(is_target, losses, 0.0).sum()
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    totals.add_nll(nll, is_target)
    totals.add_tokens(token_logs, is_target)
    grad_log_odds = torch.zeros_like(log_odds) if grads[0] is None else grads[0]
    return loss.detach(), grad_log_odds, grads[1] if len(grads) > 1 else None
