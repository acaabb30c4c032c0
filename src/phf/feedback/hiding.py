"""Hidden segments: their text is learned, but nothing after them is predicted from it.

The opposite of masking, which does not learn misaligned segments but reads them.
"""

import numpy as np

VISIBLE = 0
"""The number of tokens that all later ones see."""


def hidden_numbers(scores: np.ndarray, starts: np.ndarray, is_visible: np.ndarray, threshold: float) -> np.ndarray:
    """int32 [tokens]: `VISIBLE`, or the number of the hidden segment that a token of a block belongs to, from 1.

    A segment is hidden, with its own control tokens, if its score is greater than the threshold, in float32, as scores are
    stored.

    Args:
        scores: float32 [tokens], NaN where unscored: such a segment is visible.
        starts: bool [tokens], whether a segment begins there, with what precedes its text.
        is_visible: bool [tokens], whether it is visible whatever the score: what opens a document, and control tokens that are
            about later segments, too.
    """
    is_hidden = (scores > np.float32(threshold)) & ~is_visible
    return np.where(is_hidden, 1 + np.cumsum(starts), VISIBLE).astype(np.int32)
