"""A red LM behind an OpenAI-compatible server."""

from phf.clients.server import CompletionsServer
from phf.redteam.prompted import PromptedRedLM, check_replies

MAX_SEED = 2**31
"""Servers take seeds of 32 or 64 bits, signed."""


class ServerRedLM(PromptedRedLM):
    """A chat model, or a model that continues texts, of any OpenAI-compatible server.

    Args:
        base_url: e.g. `http://localhost:8000/v1`.
        model: the server's name of the model.
        is_chat: use `/chat/completions`, or `/completions` (base models).
        api_key_env: name of the environment variable that holds the key.
        prompts_per_reply: prompts taken from each reply; the paper takes 1.
        max_tokens: of each reply.
        temperature: of its sampling.
        timeout: seconds to wait for one answer.
        max_retries: how often a request that failed is sent again, waiting longer each time.

    Raises `ServerError` when the server does not answer; finished rounds are kept. Servers do not guarantee
    reproducible replies, so an interrupted round may come out differently the second time.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        is_chat: bool = True,
        api_key_env: str = "OPENAI_API_KEY",
        prompts_per_reply: int = 5,
        max_tokens: int = 1024,
        temperature: float = 1.0,
        timeout: float = 60,
        max_retries: int = 5,
    ) -> None:
        check_replies("max_tokens", max_tokens, temperature or 1.0)  # at 0 a server gives the likeliest reply
        self._server = CompletionsServer(base_url, model, api_key_env, timeout, max_retries)
        self.is_chat = is_chat
        self.prompts_per_reply = max(1, prompts_per_reply)
        self._settings = {"max_tokens": max_tokens, "temperature": temperature}

    def _chat(self, messages: list[dict[str, str]], num_replies: int, seed: int) -> list[str]:
        return self._server.chat(messages, n=num_replies, seed=seed % MAX_SEED, **self._settings)  # type: ignore[arg-type]

    def _complete(self, prompt: str, num_replies: int, seed: int) -> list[str]:
        return self._server.complete(prompt, n=num_replies, seed=seed % MAX_SEED, **self._settings)  # type: ignore[arg-type]
