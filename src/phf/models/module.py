"""The module that `Trainer` wraps: a Hugging Face causal LM, an optional value head, and the objective on top."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from phf.errors import ConfigError
from phf.feedback.objectives import IGNORE_INDEX, Objective
from phf.feedback.objectives.logs import LogTotals, Total
from phf.models.bfloat16 import usable_autocast
from phf.models.building.activations import fuse_gelu
from phf.models.building.documents import one_document_per_row
from phf.models.building.masked_attention import below_diagonal
from phf.models.building.probe import ModelLoss, has_plain_linear_head, own_loss, probing, takes_argument
from phf.models.head import chunked_nll
from phf.models.hooks import inputs_of, outputs_of
from phf.models.log_odds import TurnIntoDifference, turn_into_difference
from phf.models.sight import Sight
from phf.models.targets import loss_of_batch
from phf.models.tied import save_tied_weights_once
from phf.models.value_head import ValueHead


class ObjectiveLM(nn.Module):
    """`forward(input_ids, labels, token_scores) -> {"loss", "logs", ...}`, also when Trainer wraps it.

    Args:
        lm: any `AutoModelForCausalLM`.
        objective: the training objective.
        value_head: required by an objective that uses values; None otherwise.
        head: "chunked" never builds the logits; "dense" is the reference, for heads that are more than a matrix
            product (bias, soft-capping, multipliers); "auto" determines which by a test run.
        trains: False for a module that only evaluates, for which losses that the model itself adds do not matter.

    A loss that the model adds to cross-entropy when it is given labels (router auxiliary losses, z-loss) is added to the
    objective with the model's own coefficient: see `phf.models.building.probe`.
    """

    accepts_loss_kwargs = True  # makes Trainer count the targets of the whole step and pass `num_items_in_batch`

    def __init__(
        self,
        lm: PreTrainedModel,
        objective: Objective,
        value_head: ValueHead | None = None,
        head: str = "auto",
        trains: bool = True,
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
                "so the loss would be different. Use auto or dense."
            )
        if trains:
            fuse_gelu(lm)
        self.model_loss = own_loss(lm) if trains else None
        if is_plain and self.model_loss is not None and not self._keeps_chunks():
            if head == "chunked":
                raise ConfigError(
                    f"model.head is 'chunked', but {type(lm).__name__} adds a loss that needs its logits. Use auto or dense."
                )
            is_plain = False
        self.head = "chunked" if is_plain else "dense"
        if self.value_head is not None and self.head == "dense":
            self._check_hidden()
        self._sight = Sight()
        self._compiled: Callable[..., Tensor] | None = None
        self._compiled_difference: TurnIntoDifference | None = None
        self.config = lm.config  # read by Trainer's integrations
        self._no_split_modules = getattr(lm, "_no_split_modules", None)
        save_tied_weights_once(self)

    def tie_weights(self) -> None:
        """Called by Trainer after a checkpoint without the tied weights was loaded."""
        self.lm.tie_weights()

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """Called by Trainer; recomputes activations in the backward pass."""
        self.lm.gradient_checkpointing_enable(**settings)

    def gradient_checkpointing_disable(self) -> None:
        """Keep all activations again."""
        self.lm.gradient_checkpointing_disable()

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """The name of `gradient_checkpointing_enable` in newer releases of transformers."""
        self.lm.activation_checkpointing_enable(**settings)

    def activation_checkpointing_disable(self) -> None:
        """The name of `gradient_checkpointing_disable` in newer releases of transformers."""
        self.lm.activation_checkpointing_disable()

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.lm.modules())

    def why_not_compiled(self) -> str | None:
        """Why `compile_trunk` is not possible; None if it is."""
        if self.model_loss is not None:
            return "the model adds a loss of its own, which is read from its layers as they run"
        if self.value_head is not None and self.head == "dense":
            return "the value head reads a layer of the model as it runs"
        return None

    def compile_trunk(self, **settings: Any) -> None:
        """Compile what comes before the head, for training only: `torch.compile` with these settings.

        What is compiled is a function of the model, so names of weights, copies and other uses of it stay as they are.
        """
        assert self.why_not_compiled() is None
        self._compiled = torch.compile(_hidden_of if self.head == "chunked" else _logits_of, **settings)

    def compile_head(self, **settings: Any) -> None:
        """Compile the softmax of a chunked head, for training only."""
        if self.head == "chunked":
            self._compiled_difference = torch.compile(turn_into_difference, **settings)

    @torch.compiler.disable(recursive=False)  # the trunk is compiled; head and objective gain nothing from it
    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor | None = None,
        token_scores: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        position_ids: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> dict[str, Any]:
        """Loss (nats per target of the step), logs, and the [batch, seq] values of the value head, None without one.

        Args:
            input_ids, labels: [batch, seq] token ids; a label of `IGNORE_INDEX` is not a target, nor is position 0. Without
                labels each token after the first is a target, and nothing waits for a GPU.
            token_scores: [batch, seq], NaN where unscored; None: nothing is scored.
            num_items_in_batch: number of targets of the whole optimiser step; None: of this batch.
            position_ids: [batch, seq], restarting at 0 with each document, whose tokens then see no other; None: each
                token sees all earlier ones of its row. Raises `ConfigError` for a model that cannot keep documents apart.
            hidden: [batch, seq], the number of the segment, from 1, of tokens that only their own segment sees; 0 for others.
                None: nothing is hidden. Raises `ConfigError` for a model that cannot hide text.
        """
        arguments = self._sight.arguments(self.lm, position_ids, hidden, self._states)
        with usable_autocast(input_ids.device.type):
            with one_document_per_row(position_ids is None), self._below_diagonal(arguments):
                states, logits, own = self._trunk(input_ids, self.model_loss, arguments)
            values = None if self.value_head is None else self.value_head(states)
            if logits is None:
                assert states is not None
                output = loss_of_batch(
                    hidden=states,
                    weight=self._head_weight(),
                    input_ids=input_ids,
                    labels=labels,
                    token_scores=token_scores,
                    values=values,
                    objective=self.objective,
                    num_items=num_items_in_batch,
                    compiled=self._compiled_difference if self.training else None,
                )
            else:
                output = self.objective(
                    logits=logits,
                    labels=input_ids if labels is None else labels,
                    token_scores=token_scores,
                    values=values,
                    num_items=num_items_in_batch,
                    may_ignore=labels is not None,
                )
        loss, totals = output.loss, dict(output.totals)
        if own is not None:
            # its mean over the step, each micro-batch weighted by its targets
            num_targets = totals["lm_loss"].count
            loss = loss + (own if num_items_in_batch is None else own * (num_targets / num_items_in_batch))
            totals["auxiliary_loss"] = Total(own.detach() * num_targets, num_targets)
        values = None if values is None else values.detach()
        return {"loss": loss, "logs": LogTotals(totals).means(), "totals": totals, "values": values}

    @torch.no_grad()
    def token_nll(self, input_ids: Tensor, labels: Tensor, banned_ids: Sequence[int] = ()) -> Tensor:
        """[batch, seq] negative log-likelihood of each label in nats; NaN where there is no target.

        `banned_ids`, none of them a label, have probability 0, and the other tokens are renormalised, as in sampling.
        """
        targets = labels[:, 1:]
        is_target = targets != IGNORE_INDEX
        with usable_autocast(input_ids.device.type):
            hidden, logits, _ = self._trunk(input_ids, None)
            if logits is None:
                assert hidden is not None
                weight, index = self._head_weight(), targets[is_target]
                if banned_ids:
                    is_allowed = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
                    is_allowed[list(banned_ids)] = False
                    weight, index = weight[is_allowed], (is_allowed.cumsum(0) - 1)[index]
                target_nll = chunked_nll(hidden[:, :-1][is_target], weight, index)
            else:
                logits = logits[:, :-1][is_target].float()
                logits[:, list(banned_ids)] = -torch.inf
                target_nll = nn.functional.cross_entropy(logits, targets[is_target], reduction="none")
        nll = torch.full(labels.shape, torch.nan, device=labels.device)
        nll[:, 1:][is_target] = target_nll.float()
        return nll

    def _trunk(
        self, input_ids: Tensor, model_loss: ModelLoss | None, arguments: dict[str, Any] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """[batch, seq, width] last hidden state, the model's own logits, and its own loss, each only if needed.

        With a dense head there are logits, and a hidden state only for a value head.
        """
        inputs = {"input_ids": input_ids, "use_cache": False, **(arguments or {})}
        if self.head == "chunked":
            if model_loss is None:
                hidden_of = self._compiled if self._compiled is not None and self.training else _hidden_of
                return hidden_of(self.lm.base_model, **inputs), None, None
            # through the whole model, which reads its routers, with logits of one position
            with outputs_of(self.lm.base_model) as trunks:
                output = self.lm(**inputs, logits_to_keep=1)
            return trunks[0].last_hidden_state, None, model_loss.read(output)
        if self._compiled is not None and self.training:
            return None, self._compiled(self.lm, **inputs), None
        labels = {} if model_loss is None else model_loss.arguments(input_ids)
        with inputs_of(None if self.value_head is None else self.lm.get_output_embeddings()) as given:
            output = self.lm(**inputs, **labels)
        own = None if model_loss is None else model_loss.read(output)
        return given[0] if given else None, output.logits, own

    def _states(self, input_ids: Tensor, arguments: dict[str, Any]) -> Tensor:
        with self._below_diagonal(arguments):
            states, logits, _ = self._trunk(input_ids, self.model_loss, arguments)
        return states if logits is None else logits

    def _below_diagonal(self, arguments: dict[str, Any]) -> AbstractContextManager[None]:
        """Masked attention without what is above the diagonal, unless it is computed again in the backward pass."""
        mask = None if self.is_gradient_checkpointing else arguments.get("attention_mask")
        return below_diagonal(mask, self._compiled is not None)

    @torch.no_grad()
    def _keeps_chunks(self) -> bool:
        """Whether the model's own loss can be computed without its logits."""
        assert self.model_loss is not None
        if self.model_loss.router_coefficient is None or not takes_argument(self.lm, "logits_to_keep"):
            return False
        ids = torch.tensor([[1, 2]], device=self.lm.get_input_embeddings().weight.device)
        with outputs_of(self.lm.base_model) as trunks, probing(self.lm, training=False):
            self.lm(input_ids=ids, use_cache=False, logits_to_keep=1)
        return len(trunks) == 1 and trunks[0].last_hidden_state.shape[:2] == ids.shape

    @torch.no_grad()
    def _check_hidden(self) -> None:
        """A value head reads the input of the output embedding, once for each position."""
        ids = torch.tensor([[1, 2]], device=self.lm.get_input_embeddings().weight.device)
        with inputs_of(self.lm.get_output_embeddings()) as given, probing(self.lm, training=False):
            self.lm(input_ids=ids, use_cache=False)
        if len(given) != 1 or given[0].shape[:2] != ids.shape:
            raise ConfigError(
                f"{type(self.lm).__name__} has no output layer that sees every position once, which a value head needs. "
                "Choose an objective without values, or another model."
            )

    def _head_weight(self) -> Tensor:
        return self.lm.get_output_embeddings().weight


def _hidden_of(trunk: nn.Module, **inputs: Any) -> Tensor:
    """[batch, seq, width] last hidden state."""
    return trunk(**inputs).last_hidden_state


def _logits_of(lm: nn.Module, **inputs: Any) -> Tensor:
    """[batch, seq, vocab]."""
    return lm(**inputs).logits
