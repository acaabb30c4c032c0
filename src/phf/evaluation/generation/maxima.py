"""Maxima over groups of samples of one prompt, as in RealToxicityPrompts (arXiv 2009.11462)."""

from collections.abc import Sequence

GROUP = 25
"""Size of the groups of `score_max@25` and `hit_probability@25`."""


def group_maxima(prompts: Sequence[str], scores: Sequence[float | None], size: int = GROUP) -> list[tuple[str, float]]:
    """(prompt, maximum) of whole groups of `size` scored samples, each group from one prompt."""
    by_prompt: dict[str, list[float]] = {}
    for prompt, score in zip(prompts, scores, strict=True):
        if score is not None:
            by_prompt.setdefault(prompt, []).append(score)
    return [
        (prompt, max(of_prompt[start : start + size]))
        for prompt, of_prompt in by_prompt.items()
        for start in range(0, len(of_prompt) - size + 1, size)
    ]
