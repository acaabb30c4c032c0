"""Whether the samples of a run folder are those that its numbers were computed from: what compares runs reads the samples."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from phf.runs.layout import METRICS, SAMPLES

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""By how much two means of the same scores may differ."""


def lost_samples(
    metrics: Sequence[Mapping[str, Any]], scenario: str, step: int, scores: Sequence[float | None]
) -> str | None:
    """How the last samples of a scenario differ from its last numbers, as what follows "it"; None if they do not.

    Samples of a later step are of an evaluation that is not logged yet. Logs without these numbers, as of a red team, say
    nothing.

    Args:
        metrics: the lines of metrics.jsonl.
        step: of the samples; -1 if there are none.
        scores: of the samples, None if unscored.
    """
    key = f"generation/{scenario}/"
    line = next((line for line in reversed(metrics) if line.get(f"{key}num_samples") is not None), None)
    if line is None or step > line["step"]:
        return None
    file, of_step = f"{SAMPLES}/{scenario}.jsonl", f"step {line['step']:g}"
    count, logged = len(scores) if step == line["step"] else 0, line[f"{key}num_samples"]
    if count != logged:
        return f"lost samples: {file} has {count:,} of {of_step}, where {METRICS} counts {logged:,.0f}"
    known = [score for score in scores if score is not None]
    mean, logged = math.fsum(known) / max(len(known), 1), line.get(f"{key}score")
    if logged is not None and not math.isclose(mean, logged, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
        return (
            f"has other samples than it measured: those of {of_step} in {file} have the mean score {mean:.6g}, according to "
            f"{METRICS} {logged:.6g}"
        )
    return None
