"""Where control tokens stand in a document: what each placement makes of the level of each segment.

Levels are int8 [preferences, segments], indices into the control tokens of the method, -1 for a segment without one: unscored,
without text, or because its token is dropped. Everything here is computed for consecutive segments of any number of documents.
"""

import numpy as np

from phf.feedback.control_tokens import NO_TOKEN


def at_openings(opens: np.ndarray, averages: np.ndarray) -> np.ndarray:
    """What `before_document` looks at: float32 [segments], the average score of a document at its first segment, else NaN.

    Args:
        opens: bool [segments], whether each is the first of its document that has tokens.
        averages: float32 [documents that `opens` marks], NaN for those without a scored segment.
    """
    scores = np.full(len(opens), np.nan, np.float32)
    scores[opens] = averages
    return scores


def levels_before(levels: np.ndarray, opens: np.ndarray, first: np.ndarray | None = None) -> np.ndarray:
    """Which level is in force before each segment: that of the last segment of its document that has one, -1 before that.

    Args:
        opens: bool [segments], whether each is the first of its document that has tokens.
        first: int8 [preferences], what is in force before the first of these segments; None: it begins a document.

    Returns int8 [preferences, segments].
    """
    places = np.arange(levels.shape[1])
    last_opening = np.maximum.accumulate(np.where(opens, places, 0))
    is_of_first = ~np.logical_or.accumulate(opens)
    before = np.full_like(levels, NO_TOKEN)
    for number, row in enumerate(levels):
        last = np.maximum.accumulate(np.where(row != NO_TOKEN, places, -1))
        previous = np.concatenate([np.full(min(len(last), 1), -1), last[:-1]])
        if first is not None:
            before[number, is_of_first] = first[number]
        is_known = (previous >= 0) & (previous >= last_opening)
        before[number, is_known] = row[previous[is_known]]
    return before


def changes(levels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The control tokens that `on_change` puts in front of segments: int8 [preferences, segments], -1 for none.

    `before`: see `levels_before`.
    """
    return np.where(levels == before, np.int8(NO_TOKEN), levels)
