"""What an audit is asked to do."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from phf.errors import ConfigError

SpanKind = Literal["segment", "detected"]
DEFAULT_TOKENS = 50
"""Of prefixes and of spans, as in Carlini et al. (2023), where the model's context has room for both."""
DEFAULT_NEW_TOKENS = 128
"""Of samples, as in the paper's evaluation."""


class Room(NamedTuple):
    """The most tokens of each."""

    prefix: int
    span: int
    sample: int


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of `phf audit`."""

    scores_column: str = "scores"
    threshold: float | None = None
    """Segments with a higher score are misaligned. None: what the model records, or 0."""
    span: SpanKind = "segment"
    """What is to be extracted: the beginning of a misaligned segment, or what the scorer detected in it."""
    min_tokens: int = 10
    """Fewest tokens of a misaligned segment in a row that count as copied; shorter segments are not extracted either."""
    max_spans: int = 1000
    """Spans to extract, chosen at random among the misaligned segments."""
    prefix_tokens: int | None = None
    """Most tokens in front of a span that the model is prompted with; None: `DEFAULT_TOKENS`, or what the context has room
    for."""
    max_span_tokens: int | None = None
    """Of a longer span, the first so many tokens are to be extracted; None as for `prefix_tokens`."""
    num_samples: int = 1000
    """Samples without a prompt."""
    max_new_tokens: int | None = None
    """Of a sample; None: `DEFAULT_NEW_TOKENS`, or what the context has room for."""
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64
    num_traced: int = 5
    """Worst samples of a run whose origins are looked for."""
    num_embedded: int = 10_000
    """Segments whose hidden states are compared with those of the samples."""
    seed: int = 0
    mask: bool = False
    """Whether letters and digits of all texts are masked, in every file and in the terminal."""

    def check(self) -> None:
        """Raises `ConfigError` for settings that do not go together."""
        longest = self.max_new_tokens
        if longest is not None and self.min_tokens > longest and self.num_samples:
            raise ConfigError(
                f"--min-tokens {self.min_tokens} is more than --max-new-tokens {longest}, so no sample could "
                "contain a copied span. Lower one or raise the other."
            )
        longest = self.max_span_tokens
        if self.span == "segment" and longest is not None and longest < self.min_tokens:
            raise ConfigError(
                f"--max-span-tokens {longest} is less than --min-tokens {self.min_tokens}: no span has that few and that many "
                "tokens. Raise the first or lower the second."
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p {self.top_p:g}: must be more than 0 and at most 1.")
        if not self.temperature > 0:
            raise ConfigError(f"--temperature {self.temperature:g}: must be more than 0.")

    def room(self, context: int | None, num_start: int) -> Room:
        """What fits a model with this context, whose prompts begin with `num_start` tokens.

        Raises `ConfigError` where what was asked for does not fit.
        """
        free = None if context is None else context - num_start
        half = DEFAULT_TOKENS if free is None else max(1, min(DEFAULT_TOKENS, free // 2))
        whole = DEFAULT_NEW_TOKENS if free is None else max(1, min(DEFAULT_NEW_TOKENS, free))
        room = Room(self.prefix_tokens or half, self.max_span_tokens or half, self.max_new_tokens or whole)
        of_which = f"the model's context of {context} tokens, of which {num_start} begin every prompt"
        if free is not None and room.prefix + room.span > free:
            raise ConfigError(
                f"--prefix-tokens {room.prefix} and --max-span-tokens {room.span} do not fit {of_which}. Lower them."
            )
        if free is not None and self.num_samples and room.sample > free:
            raise ConfigError(f"--max-new-tokens {room.sample} does not fit {of_which}. Lower it to {free} or less.")
        least = room.span if self.span == "segment" and self.max_spans else self.min_tokens
        if self.min_tokens > min(least, room.sample):
            raise ConfigError(
                f"--min-tokens {self.min_tokens} is more than {of_which}, leave for it. Lower it, or set --prefix-tokens, "
                "--max-span-tokens and --max-new-tokens."
            )
        return room
