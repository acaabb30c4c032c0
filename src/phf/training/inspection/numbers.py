"""The numbers of an inspection; those that cannot be computed, such as correlations with a constant, are NaN."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phf.corpus.sources.documents import mean_score
from phf.feedback import ControlTokens, Method
from phf.feedback.control_tokens import NO_TOKEN
from phf.training.inspection.reading import SeenBlock, SeenDocument, SeenSegment

QUANTILES = (5, 25, 50, 75, 95)
"""Of distributions, in percent."""
SAME_SCORE = 1e-3
"""Scores whose difference is at most this share of the larger one are the same: scorers with a model round."""


def distribution(name: str, numbers: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation (of the numbers themselves) and quantiles of those that are not NaN."""
    known = numbers[~np.isnan(numbers)].astype(np.float64)
    if not known.size:
        return {f"{name}_{key}": math.nan for key in ("avg", "std", *(f"p{q:02}" for q in QUANTILES))}
    quantiles = np.percentile(known, QUANTILES).tolist()
    return {
        f"{name}_avg": float(known.mean()),
        f"{name}_std": float(known.std()),
        **{f"{name}_p{q:02}": value for q, value in zip(QUANTILES, quantiles, strict=True)},
    }


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, over the pairs without NaN; NaN if one side is constant."""
    is_pair = ~(np.isnan(one) | np.isnan(other))
    first, second = (numbers[is_pair].astype(np.float64) for numbers in (one, other))
    if not first.size or first.min() == first.max() or second.min() == second.max():
        return math.nan
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / math.sqrt((first @ first) * (second @ second)))


def compared(
    blocks: Sequence[SeenBlock],
    rescored: Sequence[Sequence[float | None]],
    method: Method,
    scores_column: str = "scores",
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """What scoring segments again says of the scores and control tokens that the model was given: numbers, and a line for each
    segment, those that differ first.

    `rescored`: the scores of the segments of each document of each block; `scores_column`: the column that they are compared
    with.
    """
    documents = [document for block in blocks for document in block.documents]
    pairs = [
        (segment, math.nan if score is None else float(np.float32(score)), document)
        for document, scores in zip(documents, rescored, strict=True)
        for segment, score in zip(document.segments, scores, strict=True)
        if segment.is_compared
    ]
    packed, again, values = (
        np.array(numbers, np.float64)
        for numbers in (
            [segment.score for segment, _, _ in pairs],
            [score for _, score, _ in pairs],
            [segment.value for segment, _, _ in pairs],
        )
    )
    differs = _differs(packed, again)
    is_whole = np.array([document.is_whole for _, _, document in pairs], bool)
    is_scored = ~(np.isnan(packed) | np.isnan(again))
    numbers = {
        "num_blocks": len(blocks),
        "num_segments": len(pairs),
        "num_cut": sum(block.num_cut for block in blocks),
        "num_unscored": int(np.isnan(packed).sum()),
        "num_unscored_again": int(np.isnan(again).sum()),
        "score_packed": _mean(packed[is_scored]),
        "score_again": _mean(again[is_scored]),
        "score_correlation": correlation(packed, again),
        "differing_share": _mean(differs),
        "num_segments_whole": int(is_whole.sum()),
        "differing_share_whole": _mean(differs[is_whole]),
    }
    if method.control_tokens:
        tags = [(segment.tag, *segment.more_tags) for segment, _, _ in pairs]
        of_tags, scores_again = (
            _first_tags(documents, rescored) if method.placement == "before_document" else (tags, again)
        )
        numbers |= _tagged_shares(tags, method.control_tokens)
        numbers["mistagged_share"] = _mistagged_share(of_tags, scores_again, method, scores_column)
    if not np.isnan(values).all():
        numbers |= {"segment_value_avg": _mean(values), "segment_value_correlation": correlation(values, -again)}
    order = np.argsort(~differs, kind="stable").tolist()
    lines = []
    for i in order:
        segment, score, document = pairs[i]
        lines.append(_line(segment, score, document, bool(differs[i]), method.control_tokens))
    return numbers, lines


def embedding_numbers(lm: Any, tokens: ControlTokens, ids: Sequence[int]) -> dict[str, float]:
    """Norms of the control tokens' embeddings, and their cosines with each other and with the mean of all other embeddings.

    Of the output embeddings too, unless they are the input embeddings.
    """
    tables = {"input": lm.get_input_embeddings().weight}
    output = getattr(lm.get_output_embeddings(), "weight", None)
    if output is not None and output is not tables["input"]:
        tables["output"] = output
    labels = list(tokens.labels())
    return {
        f"{table}_embedding_{key}": value
        for table, weight in tables.items()
        for key, value in _vector_numbers(weight.detach(), labels, list(ids)).items()
    }


def _vector_numbers(weight: Tensor, labels: Sequence[str], ids: list[int]) -> dict[str, float]:
    """`weight`: [vocab, width]."""
    is_other = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    is_other[ids] = False
    others = weight[is_other].float()
    vectors = weight[ids].float()
    mean = others.mean(dim=0)
    norms = vectors.norm(dim=1).tolist()
    # of neighbours, best first, and of the best and the worst: of two tokens, one pair
    pairs = dict.fromkeys([*pairwise(range(len(ids))), (0, len(ids) - 1)])
    cosines = {
        f"{labels[a]}_{labels[b]}": torch.cosine_similarity(vectors[a], vectors[b], dim=0) for a, b in pairs if a < b
    }
    cosines |= {f"{label}_mean": torch.cosine_similarity(vectors[i], mean, dim=0) for i, label in enumerate(labels)}
    return {
        **{f"norm/{label}": norm for label, norm in zip(labels, norms, strict=True)},
        "norm/others": others.norm(dim=1).mean().item(),
        **{f"cosine/{name}": cosine.item() for name, cosine in cosines.items()},
    }


def _tagged_shares(tags: Sequence[Sequence[int]], tokens: ControlTokens) -> dict[str, float]:
    return {
        f"tagged_share/{label}": _mean(np.array([number in of_segment for of_segment in tags], bool))
        for number, label in enumerate(tokens.labels())
    }


def _first_tags(
    documents: Sequence[SeenDocument], rescored: Sequence[Sequence[float | None]]
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Of whole documents: the control tokens at their start, and their average score now, NaN where nothing is scored."""
    whole = [(one.segments[0], scores) for one, scores in zip(documents, rescored, strict=True) if one.is_whole]
    averages = [mean_score(list(scores)) for _, scores in whole]
    return [(first.tag, *first.more_tags) for first, _ in whole], np.array(averages, np.float32)


def _mistagged_share(tags: Sequence[Sequence[int]], again: np.ndarray, method: Method, scores_column: str) -> float:
    """Of the control tokens, those that the scores `again` do not call for. Of several preferences, those that look at other
    scores than those that were computed again are not compared."""
    mistagged: list[bool] = []
    for one in method.preferences:
        if one.scores_column not in (None, scores_column):
            continue
        own = range(one.first_token, one.first_token + len(one.control_tokens))
        expected = one.tags(again.astype(np.float32)).tolist()
        mistagged += [
            tag != wanted for of_segment, wanted in zip(tags, expected, strict=True) for tag in of_segment if tag in own
        ]
    return _mean(np.array(mistagged, bool))


def _differs(packed: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Also where only one of the two is a number."""
    is_one_missing = np.isnan(packed) != np.isnan(again)
    return is_one_missing | (np.abs(packed - again) > SAME_SCORE * np.maximum(np.abs(packed), np.abs(again)))


def _mean(numbers: np.ndarray) -> float:
    return float(numbers.mean()) if numbers.size else math.nan


def _line(
    segment: SeenSegment, again: float, document: SeenDocument, differs: bool, tokens: ControlTokens
) -> dict[str, Any]:
    return {
        "text": segment.text,
        "score": segment.score,
        "score_again": again,
        "differs": differs,
        "is_document_whole": document.is_whole,
        **({"control_token": _prefix(segment, tokens)} if tokens else {}),
        **({} if math.isnan(segment.value) else {"value": segment.value}),
    }


def _prefix(segment: SeenSegment, tokens: ControlTokens) -> str | None:
    """The control tokens in front of a segment, joined; None for one without."""
    return "".join(tokens.names[tag] for tag in (segment.tag, *segment.more_tags) if tag != NO_TOKEN) or None
