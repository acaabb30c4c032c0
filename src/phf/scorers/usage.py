"""What a scorer has asked of a language model, and what that costs."""

from typing import NamedTuple


class Usage(NamedTuple):
    """Answers that were requested, not counting retries, with the tokens of their prompts and of the answers."""

    num_requests: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    """None: unknown, since a server did not report it."""
    cost: float | None = None
    """In the currency of the prices that were given; None: unknown."""

    def plus(self, other: "Usage") -> "Usage":
        """Of both together: what is unknown of one is unknown of both."""
        return Usage(*(None if None in (a, b) else a + b for a, b in zip(self, other, strict=True)))  # type: ignore

    def since(self, earlier: "Usage") -> "Usage":
        """Without what had been used earlier."""
        return Usage(*(None if None in (a, b) else a - b for a, b in zip(self, earlier, strict=True)))  # type: ignore
