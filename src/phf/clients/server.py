"""A client of any server that speaks OpenAI's completions or chat API (vLLM, SGLang, llama.cpp, OpenAI, ...).

Answers are checked field by field: servers differ in what they leave out, and nothing is trusted.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from phf.clients.address import address, key_of
from phf.clients.bounded import bounded_client
from phf.clients.failures import connection_error, status_error
from phf.errors import CorpusError, MissingExtraError, ServerError
from phf.storage.reading import parse_json
from phf.storage.secrets import without_parts
from phf.text import counted, visible

NO_KEY = "none"
"""The key for a local server that does not ask for one; the client insists on a key."""
MAX_ANSWER_BYTES = 2**25
"""Of one answer, decompressed: dozens of times what the longest ones take, such as log-probabilities of hundreds of samples."""
SHORTEST_SECRET = 8
"""Characters of a key that is a secret; shorter ones are words such as "none", which may be part of any text."""
BODY_CHARS = 300
"""Characters of a server's answer that an error message shows."""
IMPOSSIBLE = -1e9
"""Up to this, a log-probability stands for the probability 0, as -inf and the lowest float do."""


@dataclass(frozen=True)
class TokenLogprobs:
    """The tokens of a text as the server splits it, and log p(token | those before) in nats; None if there are none.

    `offsets`: position in the text of each token's first character; None if the server does not return it.
    """

    tokens: list[str]
    logprobs: list[float | None]
    offsets: list[int] | None


@dataclass(frozen=True)
class Continuation:
    """One continuation: its text, whether the model ended it, and what the server returns about its tokens."""

    text: str
    is_ended: bool
    """Whether the model stopped by itself, rather than at `max_tokens`."""
    logprobs: TokenLogprobs | None = None
    token_ids: list[int] | None = None
    """Ids in the server's vocabulary, from servers that know `return_token_ids`."""


class CompletionsServer:
    """One model of one server.

    Args:
        base_url: e.g. `http://localhost:8000/v1`; a URL without a path gets `/v1`.
        model: the name the server knows the model by.
        api_key_env: name of the environment variable that holds the key. Without it, a server on this machine is
            used without a key, and any other server is an error.
        timeout: seconds to wait for one answer, until it is complete.
        max_retries: how often a request is sent again after 408, 409, 429, a 5xx, a timeout or a broken connection,
            waiting 0.5 s, 1 s, ... at most 8 s, or as long as the server asks (`Retry-After`). If it asks for more than 2
            minutes, the request is not sent again.

    Every method raises `ServerError`. Neither it nor an answer holds the key, even if the server repeats it.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60,
        max_retries: int = 5,
    ) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise MissingExtraError("Asking a model server", "openai", "openai") from error
        self._openai = openai
        self.base_url = address(base_url)
        self.model = model
        self.api_key_env = api_key_env
        self.timeout = timeout
        self.max_retries = max_retries
        self._key = key_of(self.base_url, api_key_env) or NO_KEY
        self._client = openai.OpenAI(
            base_url=self.base_url,
            api_key=self._key,
            timeout=timeout,
            max_retries=max_retries,
            http_client=bounded_client(openai.DefaultHttpxClient, timeout, MAX_ANSWER_BYTES),
        )

    def complete(
        self,
        prompt: str,
        *,
        n: int,
        max_tokens: int,
        temperature: float,
        top_p: float = 1,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Texts of `n` continuations of `prompt`, without the prompt."""
        settings = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "stop": stop}
        choices = self._n_choices("completions", {"prompt": prompt, **settings}, n, seed)
        return [self._text(choice, "completions") for choice in choices]

    def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        n: int,
        max_tokens: int,
        temperature: float,
        seed: int | None = None,
    ) -> list[str]:
        """Texts of `n` replies to `messages`, each `{"role": ..., "content": ...}`; "" if the model said nothing."""
        request = {"messages": [*map(dict, messages)], "max_tokens": max_tokens, "temperature": temperature}
        choices = self._n_choices("chat/completions", request, n, seed)
        texts = []
        for choice in choices:
            message = choice.get("message")
            content = message.get("content", "") if isinstance(message, dict) else 0
            if content is not None and not isinstance(content, str):
                raise self.malformed("chat/completions", "a choice has no message with text")
            texts.append(content or "")
        return texts

    def sample(
        self, prompt: str, *, n: int, max_tokens: int, seed: int, extra: Mapping[str, Any] | None = None
    ) -> list[Continuation]:
        """`n` continuations drawn from the whole distribution (temperature 1, top_p 1), with their log-probabilities.

        `extra`: additional fields of the request, such as vLLM's `return_token_ids`.
        """
        # in a list, since vLLM refuses an empty prompt outside a list, even if its tokenizer would add a token
        request = {"prompt": [prompt], "max_tokens": max_tokens, "temperature": 1, "top_p": 1, "logprobs": 1}
        choices = self._n_choices("completions", {**request, **(extra or {})}, n, seed)
        continuations = []
        for choice in choices:
            ids = choice.get("token_ids")
            is_ids = isinstance(ids, list) and all(type(i) is int for i in ids)
            continuations.append(
                Continuation(
                    self._text(choice, "completions"),
                    choice.get("finish_reason") == "stop",
                    self._logprobs(choice),
                    ids if is_ids else None,
                )
            )
        return continuations

    def token_logprobs(self, prompts: Sequence[str] | Sequence[Sequence[int]]) -> list[TokenLogprobs | None]:
        """Log-probabilities of the tokens of each text (or list of ids); None where the server returned none.

        Requests the prompt back (`echo`) and nothing new. The answer of a server that ignores `echo` counts as none,
        since its text does not begin with the prompt.
        """
        request = {"prompt": [*prompts], "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 1}
        choices = self._post("completions", request)
        if len(choices) != len(prompts):
            raise self.malformed(
                "completions", f"{counted(len(choices), 'choice')} for {counted(len(prompts), 'prompt')}"
            )
        order = [choice.get("index", i) for i, choice in enumerate(choices)]
        if sorted(map(repr, order)) == sorted(map(repr, range(len(choices)))):
            choices = [choice for _, choice in sorted(zip(order, choices, strict=True), key=lambda pair: pair[0])]
        is_echo = [
            not isinstance(prompt, str) or str(choice.get("text")).startswith(prompt)
            for prompt, choice in zip(prompts, choices, strict=True)
        ]
        return [self._logprobs(choice) if echoed else None for choice, echoed in zip(choices, is_echo, strict=True)]

    def _n_choices(self, path: str, request: dict[str, Any], n: int, seed: int | None) -> list[dict[str, Any]]:
        """Exactly `n` choices: some servers do not support `n` and return one; the others are then requested again."""
        choices: list[dict[str, Any]] = []
        while len(choices) < n:
            # a new seed each time, otherwise the same choice would come back
            seeded = {} if seed is None else {"seed": seed + len(choices)}
            returned = self._post(path, {**request, **seeded, "n": n - len(choices)})
            if not returned:
                raise self.malformed(path, "it has no choices")
            choices += returned
        return choices[:n]

    def _post(self, path: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The `choices` of the answer."""
        choices: list[dict[str, Any]] = self.post(path, request)["choices"]
        return choices

    def post(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request, without its fields that are None; it has a list of mappings as `choices`."""
        openai = self._openai
        body = {"model": self.model, **{key: value for key, value in request.items() if value is not None}}
        where = f"{self.base_url}/{path}, model '{visible(self.model)}'"
        try:
            content: bytes = self._client.post(f"/{path}", body=body, cast_to=bytes)
        except openai.APITimeoutError:
            raise ServerError(
                f"{where}: no answer within {self.timeout:g} seconds, after {counted(self.max_retries + 1, 'attempt')}. "
                "Is the server overloaded? Restart it, or request less at a time.",
                reason=f"no answer within {self.timeout:g} seconds",
            ) from None
        except openai.APIConnectionError as error:
            raise connection_error(where, error.__cause__ or error, self.max_retries, self.shown) from None
        except openai.APIStatusError as error:
            raise status_error(where, error.response, self.api_key_env, self.max_retries, self.shown) from None
        text = content.decode("utf-8", "replace")
        if len(content) > MAX_ANSWER_BYTES:
            raise self.malformed(path, f"it is longer than {MAX_ANSWER_BYTES:,} bytes. Request less at a time")
        try:
            answer = self._without_key(parse_json(text, "the answer", CorpusError))
        except CorpusError:
            raise self.malformed(path, f"it is not JSON: {self.shown(text)}") from None
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise self.malformed(path, f"it has no list of choices: {self.shown(text)}")
        return answer

    def malformed(self, path: str, reason: str) -> ServerError:
        """The error for an answer that cannot be used, because of `reason`."""
        return ServerError(
            f"{self.base_url}/{path}, model '{visible(self.model)}': the answer cannot be used: {reason}. "
            "Is that an OpenAI-compatible server?",
            reason="malformed answer",
        )

    def shown(self, text: str) -> str:
        """Text of the server for a message: truncated, without the key, safe for a terminal."""
        if self._key != NO_KEY:
            for key in (self._key, json.dumps(self._key)[1:-1], quote(self._key, safe="")):
                text = text.replace(key, "***")
            text = without_parts(text[: 10 * BODY_CHARS], (self._key, b64encode(self._key.encode()).decode()))
        return visible(text.strip(), BODY_CHARS)

    def _without_key(self, value: Any) -> Any:
        """The answer without a key that the server repeats."""
        if len(self._key) < SHORTEST_SECRET:
            return value
        if isinstance(value, str):
            return value.replace(self._key, "***")
        if isinstance(value, list):
            return [self._without_key(item) for item in value]
        if isinstance(value, dict):
            return {self._without_key(key): self._without_key(item) for key, item in value.items()}
        return value

    def _text(self, choice: dict[str, Any], path: str) -> str:
        text = choice.get("text")
        if not isinstance(text, str):
            raise self.malformed(path, "a choice has no text")
        return text

    def _logprobs(self, choice: dict[str, Any]) -> TokenLogprobs | None:
        """The choice's log-probabilities; None if it has none in the format of the completions API."""
        logprobs_section = choice.get("logprobs")
        if not isinstance(logprobs_section, dict):
            return None
        tokens, logprobs, offsets = (logprobs_section.get(key) for key in ("tokens", "token_logprobs", "text_offset"))
        if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs):
            return None
        if not all(isinstance(token, str) for token in tokens):
            return None
        if not all(value is None or is_logprob(value) for value in logprobs):
            return None
        is_offsets = isinstance(offsets, list) and len(offsets) == len(tokens) and all(type(o) is int for o in offsets)
        return TokenLogprobs(
            tokens, [None if v is None else float(v) for v in logprobs], offsets if is_offsets else None
        )


def is_logprob(value: object) -> bool:
    """JSON as Python reads it also has NaN, infinities and numbers that overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and IMPOSSIBLE < value < 1e-3
