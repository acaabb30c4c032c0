"""What stands in front of a text that a model is shown."""

from phf.tokens.document_start import document_start, own_prefix

__all__ = ["document_start", "own_prefix"]
