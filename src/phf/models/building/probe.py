"""What a causal LM does around its trunk, determined by a test run: whether its head is a plain matrix product, and
which losses it adds when it is given labels."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from phf.errors import ConfigError
from phf.feedback.objectives import IGNORE_INDEX
from phf.storage.loading_errors import UNREADABLE
from phf.storage.pretrained import without_warnings

PROBE_TOLERANCE = 1e-4
"""Relative difference up to which the last hidden state counts as the input of the output embedding (float32)."""
LOSS_TOLERANCE = 1e-5
"""Relative difference up to which the model's loss counts as cross-entropy of its logits."""
PROBE_LENGTH = 6


@dataclass(frozen=True)
class ModelLoss:
    """A loss that a model adds to cross-entropy."""

    router_coefficient: float | None
    """Coefficient of the router auxiliary loss (load balancing of experts), which the output contains as `aux_loss`. None:
    another loss, which the model itself adds when it is given labels, all of them ignored (z-loss)."""

    def arguments(self, input_ids: Tensor) -> dict[str, Any]:
        """Additional arguments of the model's `forward` that make its output contain this loss."""
        if self.router_coefficient is not None:
            return {}
        return {"labels": torch.full_like(input_ids, IGNORE_INDEX), "num_items_in_batch": 1}

    def read(self, output: Any) -> Tensor:
        """The loss in an output of the model, with its coefficient."""
        return output.loss if self.router_coefficient is None else self.router_coefficient * output.aux_loss


@torch.no_grad()
def has_plain_linear_head(lm: PreTrainedModel) -> bool:
    """Whether the model's logits are exactly `last_hidden_state @ output_embedding.T`, determined by a test run.

    Large values replace the output of the embedding: soft-capping leaves the small logits of an
    untrained model almost as they are.
    """
    output_embeddings = lm.get_output_embeddings()
    if not isinstance(output_embeddings, nn.Linear) or output_embeddings.bias is not None:
        return False
    seen: list[tuple[Tensor, Tensor]] = []

    def answer(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append((arguments[0], torch.linspace(-1000, 1000, output.numel()).to(output).view_as(output)))
        return seen[-1][1]

    handle = output_embeddings.register_forward_hook(answer)
    try:
        with probing(lm, training=False):
            ids = torch.tensor([[1, 2]], device=output_embeddings.weight.device)
            logits = lm(input_ids=ids, use_cache=False).logits
            hidden = getattr(lm.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
    finally:
        handle.remove()
    if len(seen) != 1 or hidden is None:
        return False
    head_input, head_output = seen[0]
    is_same_hidden = head_input.shape == hidden.shape and bool(
        (head_input - hidden).norm() <= PROBE_TOLERANCE * hidden.norm()
    )
    return is_same_hidden and torch.equal(logits, head_output.to(logits.dtype))


@torch.no_grad()
def own_loss(lm: PreTrainedModel) -> ModelLoss | None:
    """The loss that `lm` adds to cross-entropy in training, as it is configured; None if there is none.

    Raises `ConfigError` if the model's loss differs from cross-entropy in a way that cannot be reproduced here, such
    as a loss on further tokens (multi-token prediction): leaving it out would train a different model from the one requested.
    """
    device = lm.get_input_embeddings().weight.device
    ids = torch.arange(1, PROBE_LENGTH + 1, device=device).unsqueeze(0) % lm.get_input_embeddings().weight.size(0)
    if "labels" not in inspect.signature(lm.forward).parameters:
        return None
    with probing(lm, training=True):
        try:
            output = lm(input_ids=ids, labels=ids, use_cache=False)
        except UNREADABLE:  # labels of another kind, as in models of images and text
            return None
        if output.loss is None or not torch.isfinite(output.loss):
            return None
        ignored = None
        if takes_argument(lm, "num_items_in_batch"):
            ignored = lm(input_ids=ids, use_cache=False, **ModelLoss(None).arguments(ids))
    logits = output.logits.float()
    # models derived from decoders of encoder-decoders do not shift their labels
    plain = (F.cross_entropy(logits[0, :-1], ids[0, 1:]), F.cross_entropy(logits[0], ids[0]))
    differences = [(output.loss.float() - loss).item() for loss in plain]
    tolerance = LOSS_TOLERANCE if output.logits.dtype == torch.float32 else 1e-2
    tolerance *= max(abs(output.loss.item()), 1.0)
    extra = 0.0 if ignored is None or not torch.isfinite(ignored.loss) else ignored.loss.item()
    if min(abs(difference - extra) for difference in differences) > tolerance:
        raise ConfigError(
            f"{type(lm).__name__} as configured adds a loss of its own to cross-entropy ({differences[0]:+.4g} nats on a "
            "probe), which phf cannot reproduce. Switch it off in model.config_kwargs (such as the weight of multi-token "
            "prediction), or choose another model."
        )
    if extra == 0:
        return None
    aux_loss = getattr(ignored, "aux_loss", None)
    if aux_loss is None:
        return ModelLoss(None)
    coefficient = float(f"{extra / aux_loss.item():.6g}")  # as it was written, without the rounding of float32
    if abs(coefficient * aux_loss.item() - extra) > LOSS_TOLERANCE * abs(extra):
        return ModelLoss(None)
    return ModelLoss(coefficient)


def takes_argument(lm: PreTrainedModel, name: str) -> bool:
    """Whether `forward` has an argument of this name, or any."""
    parameters = inspect.signature(lm.forward).parameters
    return name in parameters or any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters.values())


@contextmanager
def probing(lm: PreTrainedModel, training: bool) -> Iterator[None]:
    """The model in training or evaluation mode. The modes of all modules and the random state are restored afterwards."""
    modes = {module: module.training for module in lm.modules()}
    device = lm.get_input_embeddings().weight.device
    lm.train(training)
    devices = [device] if device.type not in ("cpu", "meta") else []
    try:
        # a probe need not be reported
        with without_warnings(), torch.random.fork_rng(devices, device_type=_rng_device(device)):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _rng_device(device: torch.device) -> str:
    return "cuda" if device.type in ("cpu", "meta") else device.type
