"""Thresholds that are written as percentiles of the training data: `p5` is the score that 5 % do not exceed."""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")
LARGEST = (2 - 2.0**-23) * 2.0**127
"""The largest number of float32, in which scores are stored."""
WANTED = "write a number, or a percentile of the training data from p0 to p100, such as p5 or p99.5"
BEYOND = "no score can be compared with it: scores are stored in float32, which ends at 3.4e38; write a smaller number"


def percentile_of(threshold: Any) -> float | None:
    """5.0 for "p5"; None for anything else."""
    matched = _PERCENTILE.fullmatch(threshold) if isinstance(threshold, str) else None
    percentile = None if matched is None else float(matched[1])
    return percentile if percentile is not None and percentile <= 100 else None


def number(threshold: float | str) -> float:
    """A resolved threshold, a number: percentiles are replaced by numbers before data is packed."""
    assert not isinstance(threshold, str), f"{threshold} has not been resolved"
    return threshold


def parse_threshold(threshold: Any) -> Any:
    """The threshold as a float in the range of float32, a percentile ("p5") or None. Raises `ValueError` for anything else."""
    if threshold is None or percentile_of(threshold) is not None:
        return threshold
    try:
        value = math.nan if isinstance(threshold, bool) else float(threshold)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise PydanticCustomError("threshold", WANTED)  # type: ignore[arg-type]
    if abs(value) > LARGEST:
        raise PydanticCustomError("threshold", BEYOND)  # type: ignore[arg-type]
    return value


Threshold = Annotated[float | str, BeforeValidator(parse_threshold)]
"""A score, or a percentile of the scores of the training data ("p5"), which preparing the data replaces by a number."""
