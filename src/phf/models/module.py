"""The module that `Trainer` wraps: a Hugging Face causal LM, an optional value head, and the objective on top."""

import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from phf.errors import ConfigError
from phf.models.value_head import ValueHead
from phf.objectives import IGNORE_INDEX, LossOutput, Objective, chunked_loss, chunked_nll
from phf.objectives.base import select_targets

PROBE_TOLERANCE = 1e-4
"""Relative difference up to which the last hidden state counts as what the output embedding was given (float32)."""


class ObjectiveLM(nn.Module):
    """`forward(input_ids, labels, token_scores) -> {"loss", "logs"}`, under whatever Trainer wraps it in.

    Args:
        lm: any `AutoModelForCausalLM`.
        objective: the training objective.
        value_head: required by an objective that uses values; None otherwise.
        head: "chunked" never builds the logits; "dense" is the reference, for heads that are more than a matrix
            product (bias, soft-capping, multipliers); "auto" finds out which by trying both on two tokens.
    """

    accepts_loss_kwargs = True  # tells Trainer to count the targets of the whole step and pass `num_items_in_batch`

    def __init__(
        self, lm: PreTrainedModel, objective: Objective, value_head: ValueHead | None = None, head: str = "auto"
    ) -> None:
        super().__init__()
        if objective.uses_values and value_head is None:
            raise ConfigError(
                f"{type(objective).__name__} needs a value head: set model.model_kwargs.value_head_config."
            )
        if head not in ("auto", "chunked", "dense"):
            raise ConfigError(f"model.head is '{head}'; it must be auto, chunked or dense.")
        self.lm = lm
        self.value_head = value_head if objective.uses_values else None
        self.objective = objective
        is_plain = head != "dense" and has_plain_linear_head(lm)
        if head == "chunked" and not is_plain:
            raise ConfigError(
                f"model.head is 'chunked', but the head of {type(lm).__name__} is more than a matrix product, "
                "so the loss would be another one. Use auto or dense."
            )
        self.head = "chunked" if is_plain else "dense"
        self.config = lm.config  # read by Trainer's integrations
        self._no_split_modules = getattr(lm, "_no_split_modules", None)
        # Tied weights are saved once, as safetensors demands, and tied again after loading.
        state = self.state_dict(keep_vars=True)
        first: dict[int, str] = {}
        self._tied = {
            key: first[tensor.data_ptr()]
            for key, tensor in state.items()
            if first.setdefault(tensor.data_ptr(), key) != key
        }
        self._keys_to_ignore_on_save = list(self._tied)
        self.register_state_dict_post_hook(_drop_tied)
        self.register_load_state_dict_pre_hook(_add_tied)

    def tie_weights(self) -> None:
        """Called by Trainer after a checkpoint without the tied weights was loaded."""
        self.lm.tie_weights()

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        token_scores: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Any]:
        """Loss (nats per target of the step) and logs.

        Args:
            input_ids, labels: [batch, seq] token ids; a label of `IGNORE_INDEX` is no target, nor is position 0.
            token_scores: [batch, seq], NaN where unscored; None: nothing is scored.
            num_items_in_batch: number of targets of the whole optimiser step; None: of this batch.
        """
        with usable_autocast(input_ids.device.type):
            hidden, logits = self._trunk(input_ids)
            values = None if self.value_head is None else self.value_head(hidden)
            if logits is None:
                output = self._chunked(hidden, labels, token_scores, values, num_items_in_batch)
            else:
                output = self.objective(
                    logits=logits, labels=labels, token_scores=token_scores, values=values, num_items=num_items_in_batch
                )
        return {"loss": output.loss, "logs": output.logs}

    @torch.no_grad()
    def token_nll(self, input_ids: Tensor, labels: Tensor, banned_ids: Sequence[int] = ()) -> Tensor:
        """[batch, seq] negative log-likelihood of each label in nats; NaN where there is no target.

        `banned_ids`, none of them a label, have probability 0, and the other tokens the more, as in sampling.
        """
        targets = labels[:, 1:]
        is_target = targets != IGNORE_INDEX
        with usable_autocast(input_ids.device.type):
            hidden, logits = self._trunk(input_ids)
            if logits is None:
                weight, index = self._head_weight(), targets[is_target]
                if banned_ids:
                    is_allowed = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
                    is_allowed[list(banned_ids)] = False
                    weight, index = weight[is_allowed], (is_allowed.cumsum(0) - 1)[index]
                found = chunked_nll(hidden[:, :-1][is_target], weight, index)
            else:
                logits = logits[:, :-1][is_target].float()
                logits[:, list(banned_ids)] = -torch.inf
                found = nn.functional.cross_entropy(logits, targets[is_target], reduction="none")
        nll = torch.full(labels.shape, torch.nan, device=labels.device)
        nll[:, 1:][is_target] = found.float()
        return nll

    def _trunk(self, input_ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """[batch, seq, width] last hidden state and, where the head is dense, the model's own logits."""
        trunk = self.lm.base_model
        if self.head == "chunked":
            return trunk(input_ids=input_ids, use_cache=False).last_hidden_state, None
        seen: list[Tensor] = []
        handle = trunk.register_forward_hook(lambda _module, _args, output: seen.append(output.last_hidden_state))
        try:
            logits = self.lm(input_ids=input_ids, use_cache=False).logits
        finally:
            handle.remove()
        return seen[0], logits

    def _chunked(
        self,
        hidden: Tensor,
        labels: Tensor,
        token_scores: Tensor | None,
        values: Tensor | None,
        num_items: Tensor | int | None,
    ) -> LossOutput:
        targets = labels[:, 1:].reshape(-1)
        is_target = targets != IGNORE_INDEX
        like = hidden.new_empty(0, dtype=torch.promote_types(hidden.dtype, torch.float32))
        scores, values = select_targets(token_scores, values, is_target, like)
        return chunked_loss(
            hidden=hidden[:, :-1].reshape(-1, hidden.size(-1))[is_target],
            weight=self._head_weight(),
            targets=targets[is_target],
            scores=scores,
            values=values,
            objective=self.objective,
            num_items=max(int(is_target.sum()), 1) if num_items is None else num_items,
        )

    def _head_weight(self) -> Tensor:
        return self.lm.get_output_embeddings().weight


def usable_autocast(device_type: str) -> AbstractContextManager[object]:
    """Switches autocast off on an x86 CPU without AVX-512, whose bfloat16 products are over 100x slower than float32."""
    if device_type == "cpu" and not cpu_has_bfloat16():
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices natively, as far as torch's kernels can tell."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX", "AVX2")


def _drop_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
    for key in getattr(module, "_keys_to_ignore_on_save", ()):
        state.pop(prefix + key, None)


def _add_tied(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key, first in getattr(module, "_tied", {}).items():
        if prefix + first in state:
            state.setdefault(prefix + key, state[prefix + first])


@torch.no_grad()
def has_plain_linear_head(lm: PreTrainedModel) -> bool:
    """Whether the model's logits are exactly `last_hidden_state @ output_embedding.T`, found by trying.

    Large values are put in place of what the output embedding answers: soft-capping leaves the small logits of an
    untrained model almost as they are.
    """
    output_embeddings = lm.get_output_embeddings()
    if not isinstance(output_embeddings, nn.Linear) or output_embeddings.bias is not None:
        return False
    seen: list[tuple[Tensor, Tensor]] = []

    def answer(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append((arguments[0], torch.linspace(-1000, 1000, output.numel()).to(output).view_as(output)))
        return seen[-1][1]

    was_training = {module: module.training for module in lm.modules()}
    handle = output_embeddings.register_forward_hook(answer)
    lm.eval()
    try:
        ids = torch.tensor([[1, 2]], device=output_embeddings.weight.device)
        logits = lm(input_ids=ids, use_cache=False).logits
        hidden = lm.base_model(input_ids=ids, use_cache=False).last_hidden_state
    finally:
        handle.remove()
        for module, training in was_training.items():
            module.training = training
    if len(seen) != 1:
        return False
    given, answered = seen[0]
    is_same_hidden = given.shape == hidden.shape and bool((given - hidden).norm() <= PROBE_TOLERANCE * hidden.norm())
    return is_same_hidden and torch.equal(logits, answered.to(logits.dtype))
