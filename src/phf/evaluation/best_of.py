"""Best-of-n by the model's own value head."""

from typing import Any

import torch

from phf.evaluation.cache import accepts, pad_left, positions_of
from phf.evaluation.finite import check_values
from phf.models.value_head import ValueHead


def keep_best(
    model: Any,
    value_head: ValueHead,
    prompts: list[list[int]],
    candidates: list[list[int]],
    best_of: int,
    eos: int,
    batch_size: int,
) -> list[list[int]]:
    """Of each `best_of` candidates in a row, which belong to one prompt, the one with the highest value."""
    texts = [ids[: ids.index(eos)] if eos in ids else ids for ids in candidates]
    values = mean_values(model, value_head, [p for p in prompts for _ in range(best_of)], texts, batch_size)
    best = [max(range(start, start + best_of), key=values.__getitem__) for start in range(0, len(candidates), best_of)]
    return [candidates[index] for index in best]


def mean_values(
    model: Any, value_head: ValueHead, prompts: list[list[int]], continuations: list[list[int]], batch_size: int
) -> list[float]:
    """The reward that the value head expects of each continuation, in (-1, 0), higher is better.

    The head was trained to predict, where a token stands, the reward of the next one. So this is the mean over the
    positions in front of each token of the continuation: the last of the prompt to the last but one of the text. An
    empty continuation is judged at the last position of its prompt.
    """
    trunk, values = model.base_model, [0.0] * len(prompts)
    head = value_head.to(model.device)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(continuations[i]))
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        ids, mask = pad_left([prompts[i] + continuations[i] for i in batch], 0, model.device)
        arguments = {"position_ids": positions_of(mask)} if accepts(trunk, "position_ids") else {}
        with torch.no_grad():
            hidden = trunk(input_ids=ids, attention_mask=mask, use_cache=False, **arguments).last_hidden_state
            found = head(hidden)
            check_values(found[mask.bool()], model)
        for index, row in zip(batch, found, strict=True):
            length = len(continuations[index])
            values[index] = (row[-1 - length : -1] if length else row[-1:]).mean().item()
    return values
