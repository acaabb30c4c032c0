"""What a reference LM is, and a sample of one."""

from dataclasses import dataclass
from typing import Any, Protocol

from phf.config import KLConfig

REPLACEMENT = "\ufffd"
"""The character to which bytes that are not UTF-8 are decoded."""


@dataclass(frozen=True)
class ReferenceSample:
    """One sample of the reference, at temperature 1 from its whole distribution.

    A sample that the reference ended itself is charged for that end (its end-of-text token); one that was cut off at
    `max_tokens` is not.
    """

    text: str
    """Without the end."""
    is_ended: bool
    ids: list[int] | None
    """Tokens as drawn, without the end; None from a server that does not return them."""
    logprobs: list[float]
    """log p of each token as drawn, nats; that of the end comes last, if there is one."""
    text_logprob: float | None
    """log p of `shared_text` as the reference's tokenizer encodes it, and of the end, nats; None if it cannot spell
    it within its context."""

    @property
    def shared_text(self) -> str:
        """The text that is scored by a model with another tokenizer: without a partial character."""
        return shared_text(self.text, self.is_ended)


class Reference(Protocol):
    """A reference LM, local or served."""

    def key(self) -> dict[str, Any]:
        """What distinguishes this reference from others, as JSON; no secrets."""
        ...

    def draw(self, section: KLConfig) -> list[ReferenceSample]:
        """`section.num_samples` samples."""
        ...


def shared_text(text: str, is_ended: bool) -> str:
    """A sample that was cut off may end inside a character, which no tokenizer can encode."""
    return text if is_ended else text.rstrip(REPLACEMENT)
