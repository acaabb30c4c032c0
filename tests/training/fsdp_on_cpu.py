"""`phf` with FSDP on CPUs, which accelerate supports only on GPUs: its state is made to believe that these are GPUs."""

from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from phf.cli.app import main

initialise = AcceleratorState.__init__


def initialise_with_fsdp(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
    if kwargs.get("fsdp_plugin") is not None:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    initialise(self, *args, **kwargs)


if __name__ == "__main__":
    AcceleratorState.__init__ = initialise_with_fsdp  # type: ignore[method-assign]
    main()
