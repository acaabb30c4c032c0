"""The inspector of a run: keeps the batches of an inspected step, and turns them into numbers at its end."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phf.annotate.scoring import try_scoring
from phf.corpus.segmenting.segment import segmenter
from phf.evaluation.seeding import seeded
from phf.feedback import ControlTokens, Method
from phf.feedback.objectives import Objective
from phf.feedback.objectives.base import distributions_of
from phf.sampling.division import Division
from phf.scorers import Scorer
from phf.training.data import RunData
from phf.training.inspection.numbers import compared, correlation, distribution, embedding_numbers
from phf.training.inspection.reading import BlockReader, SeenBlock
from phf.training.inspection.steps import InspectedSteps
from phf.training.phases import Phases
from phf.training.plan import Plan
from phf.training.sources import segmenter_of

MAX_LINES = 100
"""Segments of an inspection that are written down."""


@dataclass(frozen=True)
class MicroBatch:
    """What a pass through the model was given and gave; tensors are [batch, seq], on their device."""

    input_ids: Tensor
    token_scores: Tensor
    segment_starts: Tensor
    values: Tensor | None


@dataclass(frozen=True)
class Seen:
    """What one process has seen in a step."""

    blocks: list[tuple[int, SeenBlock]]
    """Place in the step, and what was read back."""
    targets: dict[str, np.ndarray]
    """Name -> float32 [targets]."""


class Inspector:
    """Takes the micro-batches of inspected steps, in each process, and inspects them when a step is complete.

    Args:
        steps: which ones.
        method_of: step -> its method.
        control_tokens: of the model, with their ids.
        scorer: the task's.
        division: all processes of the run.
        scores_column: of the data; what the scorer says is compared with it.
    """

    def __init__(
        self,
        steps: InspectedSteps,
        reader: BlockReader,
        method_of: Callable[[int], Method],
        control_tokens: ControlTokens,
        control_ids: list[int],
        scorer: Scorer,
        division: Division,
        seed: int,
        scores_column: str = "scores",
    ) -> None:
        self.steps = steps
        self._reader = reader
        self._method_of = method_of
        self._control_tokens = control_tokens
        self._control_ids = control_ids
        self._scorer = scorer
        self._division = division
        self._seed = seed
        self._scores_column = scores_column
        self._taken: list[MicroBatch] = []

    def take(self, inputs: Mapping[str, Any], segment_starts: Tensor, values: Tensor | None) -> None:
        """Keep a micro-batch of an inspected step; nothing waits for a device."""
        self._taken.append(MicroBatch(inputs["input_ids"], inputs["token_scores"], segment_starts, values))

    def inspect(self, step: int, whole: Callable[[], Any]) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Numbers of the step whose micro-batches were taken, and its segments, in the main process; all must call this.

        `whole`: see `WholeModel.shared`; its model has the weights after the step.
        """
        taken, self._taken = self._taken, []
        method = self._method_of(step)
        with seeded(self._seed):  # a scorer may draw random numbers
            seen = self._division.gather(lambda: self._seen(taken, method))
            numbers, lines = self._division.from_main(lambda: self._of_all(seen, method))
        if self._control_tokens:
            with whole() as (module, _):
                if module is not None and self._division.is_main:
                    numbers |= embedding_numbers(module.lm, self._control_tokens, self._control_ids)
        return {f"inspect/{key}": value for key, value in numbers.items()}, lines

    def _seen(self, taken: list[MicroBatch], method: Method) -> Seen:
        blocks: list[tuple[int, SeenBlock]] = []
        for number, batch in enumerate(taken):
            size = len(batch.input_ids)
            first = (number * self._division.count + self._division.index) * size
            rows = [row for row in range(size) if first + row in self.steps.read_back]
            blocks += [(first + row, self._read(batch, row)) for row in rows]
        parts = [_targets(method.objective, batch) for batch in taken]
        names = parts[0] if parts else {}
        return Seen(blocks, {name: np.concatenate([part[name] for part in parts]) for name in names})

    def _read(self, batch: MicroBatch, row: int) -> SeenBlock:
        ids, scores, starts = (
            _array(tensor[row]) for tensor in (batch.input_ids, batch.token_scores, batch.segment_starts)
        )
        return self._reader.read(ids, scores, starts, None if batch.values is None else _array(batch.values[row]))

    def _of_all(self, seen: list[Seen], method: Method) -> tuple[dict[str, float], list[dict[str, Any]]]:
        places = sorted((pair for of_process in seen for pair in of_process.blocks), key=lambda pair: pair[0])
        blocks = [block for _, block in places]
        documents = [[segment.text for segment in d.segments] for block in blocks for d in block.documents]
        rescored = try_scoring(self._scorer, documents, Counter()) if documents else []
        numbers, lines = compared(blocks, rescored, method, self._scores_column)
        targets = {name: np.concatenate([s.targets[name] for s in seen]) for name in seen[0].targets}
        rewards = targets.pop("reward", None)
        if rewards is not None:
            numbers["num_targets"] = int((~np.isnan(rewards)).sum())
            if "value" in targets:
                numbers["value_reward_correlation"] = correlation(targets["value"], rewards)
        for name, of_targets in targets.items():
            numbers |= distribution(name, of_targets)
        return numbers, lines[:MAX_LINES]


def inspector_of(
    plan: Plan, data: RunData, phases: Phases, steps: InspectedSteps, scorer: Scorer, division: Division
) -> Inspector:
    """The inspector of a run."""
    dataset, settings = plan.config.dataset, data.train.settings
    is_encoded_whole = dataset.tokenization == "document"
    cut = segmenter(segmenter_of(data.sources) or scorer.segmenter) if is_encoded_whole else None
    reader = BlockReader(data.tokenizer, settings.opening, data.control_ids, cut)
    tokens = plan.method.control_tokens
    column, seed = dataset.scores_column, plan.config.training.seed
    return Inspector(steps, reader, phases.method_of, tokens, data.control_ids, scorer, division, seed, column)


@torch.no_grad()
def _targets(objective: Objective, batch: MicroBatch) -> dict[str, np.ndarray]:
    """What the objective weights the targets of a micro-batch by, and their values; empty if there is neither."""
    scores = batch.token_scores[:, 1:].flatten().float()
    values = None if batch.values is None else batch.values[:, :-1].flatten().float()
    tensors = distributions_of(objective, scores, values)
    if values is not None:
        tensors = {**tensors, "value": values}
    if tensors:
        tensors = {**tensors, "reward": -scores}
    return {name: _array(tensor.float()) for name, tensor in tensors.items()}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
