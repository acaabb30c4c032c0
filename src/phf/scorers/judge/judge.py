"""What a judge is to the scorer: texts in, judgements out in any order, and what they depend on."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phf.errors import ConfigError
from phf.scorers.judge.answer import Judgement
from phf.scorers.judge.prompt import Prompt, prompt_of
from phf.scorers.judge.rubric import Rubric

Method = Literal["answer", "logprobs"]


@dataclass(frozen=True)
class Asking:
    """How a judge is asked, whatever model it is."""

    rubric: Rubric
    method: Method
    """Whether the rating is what the judge answers, or the mean by the probabilities of its first token."""
    max_tokens: int
    """Of an answer."""
    min_probability: float
    """Of all ratings together, with `logprobs`."""
    template_settings: dict[str, Any]
    """Variables of the chat template, such as `enable_thinking`."""

    def check(self) -> None:
        """Raise `ConfigError` for what cannot be asked."""
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; it must be positive.")
        if not 0 <= self.min_probability <= 1:
            raise ConfigError(f"min_probability is {self.min_probability}; it must be from 0 to 1.")
        low, high = self.rubric.scale
        if self.method == "logprobs" and not 0 <= low < high <= 9:
            raise ConfigError(
                f"method is logprobs, which needs ratings of one digit, but the rubric's scale is [{low}, {high}]. Use a "
                "scale within 0 to 9, or method: answer."
            )

    def prompt(self, text: str, *, is_chat: bool) -> Prompt:
        """The prompt for a text."""
        return prompt_of(self.rubric, text, wants_json=self.method == "answer", is_continued=not is_chat)


class Judge(ABC):
    """A model that rates texts."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What its ratings depend on, besides the rubric; in JSON's types, without secrets."""

    @abstractmethod
    def judge(self, texts: Sequence[str]) -> Generator[tuple[int, Judgement], None, None]:
        """(index of a text, its judgement), as they are made.

        Raises `PhfError` for what would happen with any other text too.
        """
