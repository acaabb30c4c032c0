"""The context length of a model, and the part of its configuration that contains it."""

from typing import Any

NESTED = ("decoder", "generator", "text_config")
"""Keys under which composite configurations keep that of the language model, as transformers looks for it."""


def text_config(config: Any) -> Any:
    """The part that describes the language model: the configuration itself, or one inside it. Never a copy.

    `get_text_config(decoder=True)` gives a copy for the flat configurations of encoder-decoder families (BART, Whisper).
    """
    return next((part for key in NESTED if (part := getattr(config, key, None)) is not None), config)


def context_of(config: Any) -> int | None:
    """Tokens that a model with this transformers configuration has positions for; None if it sets no limit."""
    context = getattr(text_config(config), "max_position_embeddings", None)
    return context if context is not None and context > 0 else None  # XLNet says -1
