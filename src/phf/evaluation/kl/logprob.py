"""Log-probabilities of given token sequences under a causal LM, some of whose tokens are given, not charged for."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from phf.errors import ConfigError
from phf.feedback.objectives import IGNORE_INDEX, MLE
from phf.models import ObjectiveLM
from phf.models.context import context_of
from phf.models.vocabulary import end_ids, ids_without_token, num_rows
from phf.sampling.division import ALONE, Division
from phf.sampling.finite import check_nats
from phf.sampling.generate import evaluation_mode


class Row(NamedTuple):
    """A sequence of tokens; those that are given have no probability of their own. The first one must be given."""

    ids: list[int]
    is_given: list[bool]


def after_prefix(prefix_ids: Sequence[int], ids: Iterable[int]) -> Row:
    """`ids` after a given prefix."""
    ids = list(ids)
    return Row([*prefix_ids, *ids], [True] * len(prefix_ids) + [False] * len(ids))


class EndedRow(NamedTuple):
    """A sequence, and whether the text ends after it, which is charged too."""

    row: Row
    is_ended: bool


def ended_logprobs(
    model: Any,
    rows: Sequence[EndedRow],
    *,
    ends: Sequence[int],
    banned_ids: Sequence[int],
    batch_size: int,
    division: Division = ALONE,
) -> list[np.ndarray]:
    """`sequence_logprobs` of each row and, last, of the end if there is one: that any of the ids `ends` comes next."""
    pairs = [(row, Row([*row.ids, ends[0]], [*row.is_given, False])) for row, _ in rows]
    logprobs = sequence_logprobs(
        model,
        [with_end if is_ended else row for (row, with_end), (_, is_ended) in zip(pairs, rows, strict=True)],
        banned_ids=banned_ids,
        batch_size=batch_size,
        division=division,
    )
    ended = [i for i, (_, is_ended) in enumerate(rows) if is_ended]
    for end in ends[1:]:
        others = [Row([*rows[i].row.ids, end], [True] * len(rows[i].row.ids) + [False]) for i in ended]
        more = sequence_logprobs(model, others, banned_ids=banned_ids, batch_size=batch_size, division=division)
        for i, logprob in zip(ended, more, strict=True):
            logprobs[i][-1] = np.logaddexp(logprobs[i][-1], logprob[0])
    return logprobs


def sequence_logprobs(
    model: Any,
    rows: Sequence[Row],
    *,
    banned_ids: Sequence[int],
    batch_size: int,
    division: Division = ALONE,
) -> list[np.ndarray]:
    """log p in nats of the tokens of each row that are not given, each given all tokens before it; float64.

    Rows are sorted by length into batches, longest first. Tokens with `banned_ids` have probability 0: what the
    model gives to control tokens is spread over the others, as in sampling. Raises `ConfigError` for a row that is
    longer than the model's context, `ModelError` if the model gives no finite probabilities.
    """
    longest = max((len(row.ids) for row in rows), default=0)
    context = context_of(model.config)
    if context is not None and longest > context:
        raise ConfigError(
            f"A sample of {longest} tokens, its prefix included, does not fit the context of {context} of the model "
            "that scores it. Lower kl_gpt3_callback.max_tokens."
        )
    module = ObjectiveLM(model, MLE(), trains=False)

    def measure(batch: list[int]) -> list[np.ndarray]:
        width = len(rows[batch[0]].ids)
        ids = torch.zeros(len(batch), width, dtype=torch.long)  # padding is on the right, where nothing sees it
        labels = torch.full_like(ids, IGNORE_INDEX)
        for line, index in enumerate(batch):
            row = torch.tensor(rows[index].ids)
            ids[line, : len(row)] = row
            labels[line, : len(row)] = row.masked_fill(torch.tensor(rows[index].is_given), IGNORE_INDEX)
        nll = module.token_nll(ids.to(model.device), labels.to(model.device), banned_ids).cpu().double().numpy()
        of_rows = [
            -nll[line, : len(rows[index].ids)][~np.array(rows[index].is_given)] for line, index in enumerate(batch)
        ]
        for of_row in of_rows:
            check_nats(of_row, model)
        return of_rows

    charged = [i for i, row in enumerate(rows) if not all(row.is_given)]
    order = sorted(charged, key=lambda i: -len(rows[i].ids))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    with evaluation_mode(model), torch.no_grad():
        of_batches = division.map(measure, batches, "log-probabilities of samples", len)
    logprobs: list[np.ndarray] = [np.zeros(0)] * len(rows)
    for batch, of_rows in zip(batches, of_batches, strict=True):
        for index, of_row in zip(batch, of_rows, strict=True):
            logprobs[index] = of_row
    return logprobs


def banned_ids(tokenizer: Any, model: Any) -> list[int]:
    """Ids without text: special tokens except ends, and rows of the embedding without a token."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special and i < num_rows(model)}
    return sorted({*special, *ids_without_token(model, tokenizer)} - {*end_ids(model, tokenizer)})
