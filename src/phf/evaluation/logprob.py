"""Log-probabilities of given token sequences under a causal LM, some of whose tokens are given and not charged for."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from phf.errors import ConfigError
from phf.evaluation.finite import check_nats
from phf.evaluation.generate import evaluation_mode
from phf.models import ObjectiveLM
from phf.objectives import IGNORE_INDEX, MLE


class Row(NamedTuple):
    """A sequence of tokens; those that are given have no probability of their own. The first one must be given."""

    ids: list[int]
    is_given: list[bool]


def after_prefix(prefix_ids: Sequence[int], ids: Iterable[int]) -> Row:
    """`ids` behind a prefix that is given."""
    ids = list(ids)
    return Row([*prefix_ids, *ids], [True] * len(prefix_ids) + [False] * len(ids))


def sequence_logprobs(
    model: Any, rows: Sequence[Row], *, banned_ids: Sequence[int], batch_size: int
) -> list[np.ndarray]:
    """log p in nats of the tokens of each row that are not given, each given all tokens before it; float64.

    Rows are sorted by length into batches, longest first. Tokens with `banned_ids` have probability 0: what the
    model gives to control tokens is spread over the others, as in sampling. Raises `ConfigError` for a row that is
    longer than the model's context, `ModelError` where the model gives no finite probabilities.
    """
    longest = max((len(row.ids) for row in rows), default=0)
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and longest > context:
        raise ConfigError(
            f"A sample of {longest} tokens, its prefix included, does not fit the context of {context} of the model "
            "that scores it. Lower kl_gpt3_callback.max_tokens."
        )
    module = ObjectiveLM(model, MLE(), trains=False)
    charged = [i for i, row in enumerate(rows) if not all(row.is_given)]
    order = sorted(charged, key=lambda i: -len(rows[i].ids))
    found: list[np.ndarray] = [np.zeros(0)] * len(rows)
    with evaluation_mode(model), torch.no_grad():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = len(rows[batch[0]].ids)
            ids = torch.zeros(len(batch), width, dtype=torch.long)  # padding stands behind, where nothing sees it
            labels = torch.full_like(ids, IGNORE_INDEX)
            for line, index in enumerate(batch):
                row = torch.tensor(rows[index].ids)
                ids[line, : len(row)] = row
                labels[line, : len(row)] = row.masked_fill(torch.tensor(rows[index].is_given), IGNORE_INDEX)
            nll = module.token_nll(ids.to(model.device), labels.to(model.device), banned_ids).cpu().double().numpy()
            for line, index in enumerate(batch):
                found[index] = -nll[line, : len(rows[index].ids)][~np.array(rows[index].is_given)]
                check_nats(found[index], model)
    return found


def banned_ids(tokenizer: Any, model: Any) -> list[int]:
    """Ids that stand for no text: special tokens but EOS, and rows of the embedding that have no token."""
    num_rows = model.get_output_embeddings().weight.size(0)
    text = {i for i in tokenizer.get_vocab().values() if i < num_rows}
    text -= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(set(range(num_rows)) - text - {tokenizer.eos_token_id})
