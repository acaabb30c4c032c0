"""How scores are used: the one room that a new method touches.

Takes the scores of documents and segments, gives which documents to train on, which control token precedes a segment, what
the loss is, and how the trained model is prompted. May not know token stores, models or trainers.
"""

from phf.feedback.control_tokens import NO_TOKEN, ControlTokens
from phf.feedback.method import Method, method_of

__all__ = ["NO_TOKEN", "ControlTokens", "Method", "method_of"]
