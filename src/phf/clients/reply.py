"""One reply to one prompt, with what it took: its tokens, and the probabilities of its first one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phf.clients.server import IMPOSSIBLE, CompletionsServer, is_logprob
from phf.text import visible

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    """ "" if it said nothing."""
    is_cut: bool
    """Whether it ended at `max_tokens`."""
    first_logprobs: dict[str, float] | None
    """Of the first token: the most likely ones -> log-probability in nats, never empty; None if the server returned none."""
    prompt_tokens: int | None
    completion_tokens: int | None
    """As the server counts them; None if it does not report it."""


def ask(
    server: CompletionsServer,
    prompt: str | Messages,
    *,
    max_tokens: int,
    top_logprobs: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Reply:
    """The reply at temperature 0 to a conversation, or the continuation of a text.

    Args:
        top_logprobs: how many of the most likely first tokens are requested with their log-probabilities.
        extra: additional fields of the request, such as `response_format`.

    Raises `ServerError`.
    """
    settings = {"max_tokens": max_tokens, "temperature": 0, **(extra or {})}
    if isinstance(prompt, str):
        path = "completions"
        request = {"prompt": prompt, "logprobs": top_logprobs, **settings}
    else:
        path = "chat/completions"
        wanted = None if top_logprobs is None else True
        request = {"messages": [*map(dict, prompt)], "logprobs": wanted, "top_logprobs": top_logprobs, **settings}
    answer = server.post(path, request)
    if not answer["choices"]:
        raise server.malformed(path, "it has no choices")
    choice = answer["choices"][0]
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text=_said(choice) if isinstance(prompt, str) else _said_in_chat(choice),
        is_cut=choice.get("finish_reason") == "length",
        first_logprobs=_first_logprobs(choice.get("logprobs"), server, path),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _said(choice: Mapping[str, Any]) -> str:
    text = choice.get("text")
    return text if isinstance(text, str) else ""


def _said_in_chat(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def _first_logprobs(section: Any, server: CompletionsServer, path: str) -> dict[str, float] | None:
    """From the form of the chat API, or that of the completions API; without tokens that have the probability 0.

    Raises `ServerError` where that of a token is not a log-probability: the others would seem to be all there are.
    """
    if not isinstance(section, dict):
        return None
    sampled: tuple[Any, Any] = (None, None)
    pairs: list[tuple[Any, Any]] = []
    match section:
        case {"content": [{"top_logprobs": [*tops]} as first, *_]}:
            sampled = (first.get("token"), first.get("logprob"))
            pairs = [(top.get("token"), top.get("logprob")) for top in tops if isinstance(top, dict)]
        case {"tokens": [token, *_], "token_logprobs": [logprob, *_], "top_logprobs": [{} as tops, *_]}:
            sampled = (token, logprob)
            pairs = [*tops.items()]
    known = {}
    for token, value in [*([] if sampled[1] is None else [sampled]), *pairs]:  # it is one of the likeliest, too
        if not isinstance(token, str) or (isinstance(value, int | float) and value <= IMPOSSIBLE):
            continue
        if not is_logprob(value):
            raise server.malformed(path, f"the log-probability of {visible(token, 40)!r} is {visible(repr(value), 40)}")
        known[token] = float(value)
    return known or None
