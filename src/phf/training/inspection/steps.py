"""Which steps of a run are inspected, and which of their blocks are read back."""

from dataclasses import dataclass

from phf.config import TrainingConfig
from phf.training.settings.arguments import Arithmetic

MAX_BLOCKS = 8
"""Blocks of a step that are read back and scored again: of 1,024 tokens each, a few hundred segments."""


@dataclass(frozen=True)
class InspectedSteps:
    """Every n-th step (None: none), each of `blocks_per_step` blocks over all processes. Picklable."""

    every: int | None = None
    blocks_per_step: int = 1

    def has(self, step: int) -> bool:
        """Whether the step with this number, counted from 1, is inspected."""
        return self.every is not None and step % self.every == 0

    def has_sample(self, sample: int) -> bool:
        """Whether a block of the run, counted from 0 in the order of training, is of such a step."""
        return self.has(sample // self.blocks_per_step + 1)

    @property
    def read_back(self) -> frozenset[int]:
        """Places in a step of the blocks that are read back, evenly spread; the same for any number of processes."""
        count = min(MAX_BLOCKS, self.blocks_per_step)
        return frozenset(i * self.blocks_per_step // count for i in range(count))


NO_STEPS = InspectedSteps()


def inspected_steps(config: TrainingConfig, arithmetic: Arithmetic) -> InspectedSteps:
    """The steps of a run that are inspected; `every` is None if there are none."""
    every = config.inspect_steps
    is_reached = every is not None and every <= arithmetic.max_steps
    return InspectedSteps(every if is_reached else None, arithmetic.effective_batch_size)
