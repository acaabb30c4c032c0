"""How scores are used: the one room that a new method touches.

Takes the scores of documents and segments, returns which documents to train on, which control token precedes a segment, what
the loss is, how the trained model is prompted, and when all of this applies. Must not know token stores, models or trainers.
"""

from phf.feedback.control_tokens import (
    NO_CONTROL_TOKENS,
    NO_TOKEN,
    RELEASED_TOKENS,
    ControlTokens,
    best_token_of,
    control_token_id,
    prefix_token_ids,
)
from phf.feedback.method import Method, control_tokens_of, method_of, threshold_of, with_prompting
from phf.feedback.prompting import PROMPTING_FILE, Prompting

__all__ = [
    "NO_CONTROL_TOKENS",
    "NO_TOKEN",
    "PROMPTING_FILE",
    "RELEASED_TOKENS",
    "ControlTokens",
    "Method",
    "Prompting",
    "best_token_of",
    "control_token_id",
    "control_tokens_of",
    "method_of",
    "prefix_token_ids",
    "threshold_of",
    "with_prompting",
]
