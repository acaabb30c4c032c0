"""Log-likelihoods of packed blocks: unchanged, each document by itself, or each by itself after the document start."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from phf.feedback.objectives import IGNORE_INDEX

Block = tuple[np.ndarray, np.ndarray]
"""ids int64 [tokens], scores float32 [tokens]"""


def predicted_tokens(
    module: Any,
    blocks: Sequence[Block],
    start_ids: Sequence[int],
    device: torch.device,
    starts: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> (ids, scores, negative log-likelihood in nats as float64) of the tokens that were predicted, one after another.

    Args:
        module: has `token_nll(input_ids, labels)`.
        start_ids: blocks are cut into documents before these, and each part is read after them; empty: a block is
            read unchanged, or as `starts` says. The first token of a block is given in any case.
        starts: where documents begin in each block, int [documents]; each document, or what of it is in the block, is read
            by itself and predicts the first token of the next one, which ends it. None: a block is read unchanged.
    """
    if start_ids:
        rows = [row for ids, scores in blocks for row in _documents(ids, scores, start_ids)]
    elif starts is not None:
        rows = [
            (ids[begin : end + 1], scores[begin : end + 1], 1)
            for (ids, scores), places in zip(blocks, starts, strict=True)
            for begin, end in pairwise([0, *places[places > 0].tolist(), len(ids)])
            if begin + 1 < len(ids)
        ]
    else:
        rows = [(ids, scores, 1) for ids, scores in blocks]
    max_tokens = max(len(ids) for ids, _ in blocks) * len(blocks)
    parts = [_run(module, part, device) for part in _parts(rows, max_tokens)]
    ids, scores, nll = (np.concatenate([columns[i] for columns in parts]) for i in range(3))
    return ids, scores, nll


def _documents(
    ids: np.ndarray, scores: np.ndarray, start_ids: Sequence[int]
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(ids, scores, how many of them are given) of each document, or part of one, in a block."""
    start = np.array(start_ids)
    width = len(start)
    windows = np.lib.stride_tricks.sliding_window_view(ids, width)
    opens = np.flatnonzero((windows == start).all(axis=1))
    bounds = [0, *opens[opens > 0], len(ids)]
    rows = []
    for begin, end in pairwise(bounds):
        if begin in opens:
            rows.append((ids[begin:end], scores[begin:end], width))
        else:  # the rest of a document: also after the start, in no more room than the block has
            kept = slice(begin, end if end - begin + width <= len(ids) else end - width)
            behind = np.concatenate([start, ids[kept]])
            rows.append((behind, np.concatenate([np.full(width, np.nan, np.float32), scores[kept]]), width + 1))
    return rows


def _parts(rows: list[tuple[np.ndarray, np.ndarray, int]], max_tokens: int) -> list[list[Any]]:
    """Rows in order of length, as many at a time as fit into `max_tokens` with their padding."""
    parts: list[list[Any]] = []
    for row in sorted(rows, key=lambda row: -len(row[0])):
        if not parts or len(parts[-1][0][0]) * (len(parts[-1]) + 1) > max_tokens:
            parts.append([])
        parts[-1].append(row)
    return parts


def _run(module: Any, rows: list[Any], device: torch.device) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width = max(len(ids) for ids, _, _ in rows)
    inputs = np.zeros((len(rows), width), np.int64)  # padding is on the right, where no token sees it
    labels = np.full_like(inputs, IGNORE_INDEX)
    scores = np.full(inputs.shape, np.nan, np.float32)
    for line, (ids, of_row, num_given) in enumerate(rows):
        inputs[line, : len(ids)] = ids
        labels[line, num_given : len(ids)] = ids[num_given:]
        scores[line, : len(ids)] = of_row
    nll = module.token_nll(torch.from_numpy(inputs).to(device), torch.from_numpy(labels).to(device))
    is_target = labels != IGNORE_INDEX
    return inputs[is_target], scores[is_target], nll.cpu().double().numpy()[is_target]  # not every device has float64
