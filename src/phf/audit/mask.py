"""Texts with personal data, made fit to be shown to others."""

MASK = "•"


def masked(text: str) -> str:
    """`text` with every letter and digit replaced: its shape is left, and nothing that identifies anyone."""
    return "".join(MASK if character.isalnum() else character for character in text)
