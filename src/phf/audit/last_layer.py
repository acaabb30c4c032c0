"""How alike two texts are to a model: by its last hidden states, and by the gradients of its output layer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from phf.models.context import context_of
from phf.sampling.generate import evaluation_mode
from phf.workers.activity import activity


class HeadGradient(NamedTuple):
    """The gradient of a text's loss with respect to the output layer, a sum of outer products over its tokens."""

    hidden: Tensor
    """float32 [tokens, width], last hidden states from which the tokens are predicted."""
    errors: Tensor
    """float32 [tokens, vocab], predicted probabilities minus 1 for the token that follows."""

    def dot(self, other: "HeadGradient") -> float:
        """Inner product of the two gradients, without making them: each has width x vocab numbers."""
        return float(((self.hidden @ other.hidden.T) * (self.errors @ other.errors.T)).sum())


class LastLayer:
    """Reads texts with a causal LM, each by itself after what begins a document.

    Args:
        start: ids in front of each text, at least one; they are not part of it.
    """

    def __init__(self, lm: Any, start: Sequence[int], batch_size: int) -> None:
        assert start
        self._lm, self._start, self._batch_size = lm, list(start), batch_size
        context = context_of(lm.config)
        self._most = None if context is None else context - len(self._start)

    def embeddings(self, texts: Sequence[np.ndarray], check: Callable[[], None] = lambda: None) -> np.ndarray:
        """float32 [texts, width]: the mean of the last hidden states at the tokens of each, the first ones of a long text.

        `check`: called for each batch; what it raises ends the work.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        rows: dict[int, np.ndarray] = {}
        with activity("embedding segments", len(texts)) as advance:
            for begin in range(0, len(order), self._batch_size):
                check()
                some = order[begin : begin + self._batch_size]
                ids, lengths = self._batch([texts[index] for index in some])
                hidden, _ = self._read(ids, with_logits=False)
                places = torch.arange(hidden.size(1), device=hidden.device)
                is_text = (places < lengths[:, None]).unsqueeze(-1)
                means = (hidden * is_text).sum(1) / lengths[:, None]
                rows.update(zip(some, means.cpu().numpy(), strict=True))
                advance(len(some))
        return np.stack([rows[index] for index in range(len(texts))])

    def gradient(self, text: np.ndarray) -> HeadGradient:
        """Of the sum of the tokens' cross-entropies. As of a linear output layer."""
        ids, _ = self._batch([text])
        hidden, logits = self._read(ids, with_logits=True, before=True)
        errors = logits[0].softmax(-1)
        targets = ids[0, len(self._start) :]
        errors[torch.arange(len(targets), device=errors.device), targets] -= 1
        return HeadGradient(hidden[0], errors)

    def _batch(self, texts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """(ids [texts, tokens] with the start, padded on the right; tokens of each text, of those that fit)."""
        rows = [torch.from_numpy(text[: self._most].astype(np.int64)) for text in texts]
        lengths = torch.tensor([len(row) for row in rows], device=self._lm.device)
        start = torch.tensor(self._start)
        padded = torch.nn.utils.rnn.pad_sequence([torch.cat([start, row]) for row in rows], batch_first=True)
        return padded.to(self._lm.device), lengths

    def _read(self, ids: Tensor, *, with_logits: bool, before: bool = False) -> tuple[Tensor, Tensor]:
        """(last hidden states, logits) in float32 at the tokens of the texts, or at the tokens `before` each.

        What pads a causal LM on the right changes nothing to the left of it.
        """
        with evaluation_mode(self._lm), torch.no_grad():
            output = self._lm(input_ids=ids, output_hidden_states=True, use_cache=False)
            first = len(self._start) - before
            last = ids.size(1) - before
            logits = output.logits[:, first:last].float() if with_logits else ids
            return output.hidden_states[-1][:, first:last].float(), logits


def cosines(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """float32 [queries, keys] in [-1, 1], after the mean of the keys is subtracted from both.

    Hidden states of language models have a large part in common (Ethayarajh, 2019, arXiv 1909.00512), without which all
    cosines would be near 1. 0 where a vector is the mean.
    """
    centre = keys.mean(0)
    normed = []
    for vectors in (queries - centre, keys - centre):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        normed.append(vectors / np.where(norms > 0, norms, 1))
    return np.clip(normed[0] @ normed[1].T, -1, 1)
