"""The whole model in each process that evaluates, also if training has sharded it over them (FSDP, DeepSpeed)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import Trainer

from phf.models import ObjectiveLM
from phf.sampling.division import ALONE, Division, all_processes


class WholeModel:
    """Provides the whole module for evaluation and export.

    Args:
        module: the module given to Trainer, before it is sharded, so before `Trainer.train`.
        trainer: its Trainer.

    Parameters that FSDP 2 has sharded are gathered into a copy on each process's device, for as long as it is used: samples
    differ in length, so processes that share them could not make the same number of passes through a sharded model. The copy
    takes 4 bytes per parameter, besides the process's share. DeepSpeed gathers into the main process alone. Otherwise the
    module itself is whole, and nothing is gathered.
    """

    def __init__(self, module: ObjectiveLM, trainer: Trainer) -> None:
        self._trainer = trainer
        self._processes = all_processes()
        is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        self._is_gathered = is_sharded and trainer.accelerator.is_fsdp2
        self._is_on_main = is_sharded and not self._is_gathered
        self._module = _without_weights(module) if is_sharded else module

    @contextmanager
    def shared(self) -> Iterator[tuple[ObjectiveLM | None, Division]]:
        """The module with the current parameters, and the processes that have it, which are to share the work.

        None in a process that does not have it. All processes must call this, and leave it together.
        """
        if self._is_on_main:
            with self._processes.together(), self._gathered() as module:
                yield module, ALONE
        elif self._is_gathered:
            with self._gathered() as module:
                yield module, self._processes
        else:
            yield self._module, self._processes

    @contextmanager
    def _gathered(self) -> Iterator[ObjectiveLM | None]:
        if self._is_gathered:
            state = get_model_state_dict(self._trainer.model_wrapped, options=StateDictOptions(full_state_dict=True))
        else:
            state = self._trainer.accelerator.get_state_dict(self._trainer.model_wrapped)
            if not self._processes.is_main:
                yield None
                return
        self._module.load_state_dict(state, assign=True)
        del state
        self._module.tie_weights()
        self._module.to(self._trainer.args.device)
        try:
            yield self._module
        finally:
            empty = {name: tensor.to("meta") for name, tensor in self._module.state_dict().items()}
            self._module.load_state_dict(empty, assign=True)


def _without_weights(module: ObjectiveLM) -> ObjectiveLM:
    """A copy whose parameters have no memory yet."""
    parameters: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.to("meta"), parameter.requires_grad) for parameter in module.parameters()
    }
    return copy.deepcopy(module, parameters)
