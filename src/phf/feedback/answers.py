"""What a method's classes answer, checked: a user's own class is tried out before training, and its answers are checked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from phf.errors import MethodError
from phf.feedback.control_tokens import NO_TOKEN

PROBE = np.concatenate([np.linspace(0, 1, 21), [-10.0, -1.0, -1e-3, 1e-4, 1e-3, 1e-2, 10.0]]).astype(np.float32)
"""Scores that a class is tried on: probabilities, shares, rewards."""


def name_of(answering: Any, method: str) -> str:
    """What errors call a method of a user's object, or the function in its place."""
    return getattr(answering, "__name__", None) or f"{type(answering).__name__}.{method}"


def checked_keeps(keeps: Callable[[np.ndarray], Any], name: str, avg_scores: np.ndarray) -> np.ndarray:
    """[documents] bool of [documents] average scores. Raises `MethodError`, which `name` begins, for any other answer."""
    answer = _array(keeps(avg_scores), name, "True or False", len(avg_scores))
    if answer.dtype != bool:
        raise MethodError(
            f"{name} returned an array of {answer.dtype}; it must return one of bool, True for each document to keep."
        )
    return answer


def checked_tags(
    tags: Callable[[np.ndarray], Any], name: str, scores: np.ndarray, control_tokens: tuple[str, ...]
) -> np.ndarray:
    """[segments] int8 of [segments] scores. Raises `MethodError`, which `name` begins, for any other answer."""
    answer = _array(tags(scores), name, "an index", len(scores))
    if answer.dtype.kind not in "iu":
        is_nan = answer.dtype.kind == "f" and np.isnan(answer).any()
        raise MethodError(
            f"{name} returned an array of {answer.dtype}{', with NaN in it' if is_nan else ''}; it must return "
            f"integers: the index of a control token, or {NO_TOKEN} for none."
        )
    is_wrong = (answer < NO_TOKEN) | (answer >= len(control_tokens))
    if is_wrong.any():
        first = int(np.flatnonzero(is_wrong)[0])
        raise MethodError(
            f"{name} returned {answer[first]} for the score {scores[first]:g}; dataset.conditioning.control_tokens has "
            f"{len(control_tokens)} ({', '.join(control_tokens)}), so it must be from {NO_TOKEN} (none) to "
            f"{len(control_tokens) - 1}."
        )
    return answer.astype(np.int8)


def probe(answer: Callable[[np.ndarray], np.ndarray], what: str) -> None:
    """Try one question on `PROBE`. Raises `MethodError` where an answer depends on more than the score it belongs to."""
    together = answer(PROBE.copy())
    for part in (slice(None, None, -1), slice(0, 9), slice(0, 0)):
        if not np.array_equal(answer(PROBE[part].copy()), together[part]):
            raise MethodError(
                f"{what} answers differently for the same score when other scores accompany it. Scores come in parts of "
                "any size, so each answer must depend on its own score alone (for a rank, set a percentile such as p50)."
            )


def _array(answer: Any, what: str, each: str, length: int) -> np.ndarray:
    if not isinstance(answer, np.ndarray):
        raise MethodError(f"{what} returned a {type(answer).__name__}; it must return a numpy array.")
    if answer.shape != (length,):
        raise MethodError(
            f"{what} returned an array of shape {list(answer.shape)}; it must have the shape of its scores, {[length]}: "
            f"{each} for each."
        )
    return answer
