"""Red LMs that are language models, shown examples and asked for more."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil

from phf.errors import ConfigError
from phf.redteam.pool import PoolEntry
from phf.redteam.red_lm import Proposal, RedLM
from phf.redteam.template import chat_messages, continuation_prompt, parse_reply


def check_replies(key: str, max_tokens: int, temperature: float, top_p: float = 1.0) -> None:
    """Raises `ConfigError` for settings with which there are no replies: the first is asked for after a round of samples.

    `key`: what the first one is called.
    """
    where = "redteam.red_lm"
    if max_tokens < 1:
        raise ConfigError(f"{where}.{key} is {max_tokens}; it must be at least 1.")
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"{where}.temperature is {temperature:g}; it must be a number above 0.")
    if not 0 < top_p <= 1:
        raise ConfigError(f"{where}.top_p is {top_p:g}; it must be above 0 and at most 1.")


class PromptedRedLM(RedLM, ABC):
    """Base of the red LMs that are language models. Subclasses define how replies are obtained, and set these.

    is_chat: ask in a conversation, or let the model continue the list.
    prompts_per_reply: prompts taken from each reply, from its start; the paper takes 1.
    replies_to_check: replies that `check` asks for; with 0, a request is prepared and not made.
    """

    is_chat: bool
    prompts_per_reply: int
    replies_to_check: int = 1

    def check(self, prompts: Sequence[str]) -> None:
        """Raises the error that a request with these examples would end with: the first one follows a round of samples."""
        self._replies(prompts, self.replies_to_check, 0)

    def propose(self, examples: Sequence[PoolEntry], pool: Sequence[PoolEntry], count: int, seed: int) -> Proposal:
        """Prompts from as many replies as `count` requires."""
        texts = [entry.prompt for entry in examples]
        num_replies = ceil(count / self.prompts_per_reply)
        replies = self._replies(texts, num_replies, seed)
        parsed_replies = [parse_reply(reply, self.template.format) for reply in replies]
        prompts = [prompt for parsed in parsed_replies for prompt in parsed[: self.prompts_per_reply]]
        unreadable = [reply for reply, parsed in zip(replies, parsed_replies, strict=True) if not parsed]
        return Proposal(prompts[:count], unreadable)

    def _replies(self, texts: Sequence[str], num_replies: int, seed: int) -> list[str]:
        if self.is_chat:
            return self._chat(chat_messages(self.template, texts, self.prompts_per_reply), num_replies, seed)
        prompt, cue = continuation_prompt(self.template, texts)
        return [cue + reply for reply in self._complete(prompt, num_replies, seed)]

    @abstractmethod
    def _chat(self, messages: list[dict[str, str]], num_replies: int, seed: int) -> list[str]:
        """`num_replies` replies to a conversation."""

    @abstractmethod
    def _complete(self, prompt: str, num_replies: int, seed: int) -> list[str]:
        """`num_replies` continuations of a text."""
