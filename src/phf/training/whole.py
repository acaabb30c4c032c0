"""The whole model on the main process, if training has sharded it over the processes (FSDP, DeepSpeed ZeRO 3)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import Trainer

from phf.models import ObjectiveLM


class WholeModel:
    """Provides the whole module for evaluation and export.

    Args:
        module: the module given to Trainer, before it is sharded, so before `Trainer.train`.
        trainer: its Trainer.

    Sharded parameters are gathered into a copy, which the main process keeps in its own memory, on its GPU only while
    it is used. Otherwise the copy would be the module itself, and nothing is gathered.
    """

    def __init__(self, module: ObjectiveLM, trainer: Trainer) -> None:
        self._trainer = trainer
        self._is_main = trainer.args.process_index == 0
        self._is_divided = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        self._module = copy.deepcopy(module) if self._is_divided and self._is_main else module

    @contextmanager
    def on_main(self) -> Iterator[ObjectiveLM | None]:
        """The module with the current parameters; None in the other processes, all of which must call this."""
        if not self._is_divided:
            yield self._module if self._is_main else None
            return
        state = self._trainer.accelerator.get_state_dict(self._trainer.model_wrapped)
        if not self._is_main:
            yield None
            return
        self._module.load_state_dict(state)
        del state
        self._module.to(self._trainer.args.device)
        try:
            yield self._module
        finally:
            self._module.to("cpu")
