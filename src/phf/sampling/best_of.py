"""Best-of-n by the model's own value head."""

from collections.abc import Sequence
from typing import Any

import torch

from phf.models.value_head import ValueHead
from phf.sampling.continuation import until_end
from phf.sampling.division import ALONE, Division
from phf.sampling.finite import check_values


def keep_best(
    model: Any,
    value_head: ValueHead,
    prompts: list[list[int]],
    candidates: list[list[int]],
    best_of: int,
    ends: int | Sequence[int],
    batch_size: int,
    division: Division = ALONE,
) -> list[list[int]]:
    """The candidate with the highest value among each `best_of` consecutive ones, which belong to one prompt."""
    ends = [ends] if isinstance(ends, int) else ends
    texts = [until_end(ids, ends) for ids in candidates]
    values = mean_values(model, value_head, [p for p in prompts for _ in range(best_of)], texts, batch_size, division)
    best = [max(range(start, start + best_of), key=values.__getitem__) for start in range(0, len(candidates), best_of)]
    return [candidates[index] for index in best]


def mean_values(
    model: Any,
    value_head: ValueHead,
    prompts: list[list[int]],
    continuations: list[list[int]],
    batch_size: int,
    division: Division = ALONE,
) -> list[float]:
    """The reward that the value head expects of each continuation, in (-1, 0), higher is better.

    The head was trained to predict, at each token, the reward of the next one. So this is the mean over the
    positions before each token of the continuation: the last of the prompt to the last but one of the text. An
    empty continuation is judged at the last position of its prompt.
    """
    trunk = model.base_model
    head = value_head.to(model.device)

    def judge(batch: list[int]) -> list[float]:
        rows = [prompts[i] + continuations[i] for i in batch]
        width = max(map(len, rows))
        # padding is on the right, where no token sees it
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
        with torch.no_grad():
            predicted = head(trunk(input_ids=ids, use_cache=False).last_hidden_state)
        means = []
        for index, row, values_of_row in zip(batch, rows, predicted, strict=True):
            check_values(values_of_row[: len(row)], model)
            length = max(len(continuations[index]), 1)
            end = len(row) - 1 if continuations[index] else len(row)
            means.append(values_of_row[end - length : end].mean().item())
        return means

    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(continuations[i]))
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    of_batches = division.map(judge, batches, "judging candidates", len)
    values = [0.0] * len(prompts)
    for batch, means in zip(batches, of_batches, strict=True):
        for index, mean in zip(batch, means, strict=True):
            values[index] = mean
    return values
