"""Labels whose values are all text, as those of a CSV file are: what stands for a number, a truth value or a scale is one."""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

from phf.labels.preferences import SCORE_COLUMNS

NUMBERS = frozenset(("rating", *chain.from_iterable(SCORE_COLUMNS)))
TRUTH_VALUES = frozenset(("higher_is_worse", "skipped"))
_NUMBER = re.compile(r"\s*[+-]?\d{1,15}(\.\d{0,15})?\s*", re.ASCII)
_SCALE = re.compile(r"\s*\[?\s*(-?\d{1,9})\s*[-,]\s*(-?\d{1,9})\s*\]?\s*", re.ASCII)


def spelled_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row of labels, those of text replaced where it spells what the column should hold.

    Text that spells nothing of the kind stays as it is, to be refused as what was written; an empty cell is None, except
    in the columns of texts.
    """
    return {key: _value(key, value) if isinstance(value, str) else value for key, value in values.items()}


def _value(key: str, text: str) -> Any:
    if key in NUMBERS and _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() else number
    if key in TRUTH_VALUES and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    if key == "scale" and (match := _SCALE.fullmatch(text)):
        return [int(match[1]), int(match[2])]
    is_optional = key in NUMBERS or key in TRUTH_VALUES or key == "scale"
    return None if is_optional and not text.strip() else text
