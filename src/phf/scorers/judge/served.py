"""A judge behind an OpenAI-compatible server: several requests at a time, each for one text."""

import logging
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar

from phf.clients.failures import UNREACHABLE
from phf.clients.reply import Messages, Reply, ask
from phf.clients.server import CompletionsServer
from phf.errors import ConfigError, ServerError
from phf.scorers.judge.answer import Judgement, expected_rating, rating_in
from phf.scorers.judge.judge import Asking, Judge
from phf.scorers.judge.prompt import ANSWER_KEY

TOP_LOGPROBS = 20
"""The most that OpenAI's chat API returns, and vLLM by default."""
FIRST_TOKEN = 1
FAILURES_IN_A_ROW = 20
"""With so many the server is not answering at all: a corpus of unscored segments would help no one."""
UNSUPPORTED = (400, 405, 415, 422, 501)
"""Statuses of a server that does not know a field of the request."""
HOPELESS = (401, 403, 404)
"""Statuses that every other text would get too."""
Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class ServedJudge(Judge):
    """One model of one server.

    A text for which there is no usable answer, after the retries of `CompletionsServer`, has no rating. Raises `ServerError`
    where the server cannot be reached, refuses the key or does not know the model, and after `FAILURES_IN_A_ROW`.
    """

    def __init__(self, server: CompletionsServer, asking: Asking, *, is_chat: bool, concurrency: int) -> None:
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be positive.")
        self._server, self._asking, self._is_chat, self._concurrency = server, asking, is_chat, concurrency
        self._knows_schema: bool | None = None
        """Whether the server takes a JSON schema of the answer; None until it has answered."""
        self._failures = 0
        """In a row."""
        self._reported: set[str] = set()

    def identity(self) -> dict[str, Any]:
        """Address and name of the model: which weights they stand for is known to the server alone."""
        return {"base_url": self._server.base_url, "model": self._server.model, "is_chat": self._is_chat}

    def judge(self, texts: Sequence[str]) -> Generator[tuple[int, Judgement], None, None]:
        """See `Judge`."""
        for index, outcome in concurrently(self._one, texts, self._concurrency):
            if isinstance(outcome, ServerError):
                self._count_failure(outcome)
                yield index, Judgement(None, f"the judge's server: {outcome.reason}", has_reply=False)
            else:
                self._failures = 0
                yield index, outcome

    def _count_failure(self, error: ServerError) -> None:
        if error.status in HOPELESS or error.reason == UNREACHABLE:
            raise error
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._failures = 0
            raise ServerError(
                f"The judge did not answer for {FAILURES_IN_A_ROW} texts in a row, the last time because: {error} What it had "
                "answered before is kept in the cache.",
                error.status,
                error.reason,
            ) from error
        if error.reason not in self._reported:
            self._reported.add(error.reason)
            logger.warning("%s Such texts stay unscored.", error)

    def _one(self, text: str) -> Judgement | ServerError:
        try:
            return self._judgement(text)
        except ServerError as error:
            return error

    def _judgement(self, text: str) -> Judgement:
        asking = self._asking
        prompt = str(asking.prompt(text, is_chat=self._is_chat))
        messages: str | Messages = [{"role": "user", "content": prompt}] if self._is_chat else prompt
        extra: dict[str, Any] = {}
        if self._is_chat and asking.template_settings:
            extra["chat_template_kwargs"] = asking.template_settings
        if asking.method == "logprobs":
            reply = ask(self._server, messages, max_tokens=FIRST_TOKEN, top_logprobs=TOP_LOGPROBS, extra=extra)
            if reply.first_logprobs is None:
                raise ServerError(
                    f"{self._server.base_url}: returns no log-probabilities. Use method: answer, or another server.",
                    reason="no log-probabilities",
                )
            judgement = expected_rating(reply.first_logprobs.items(), asking.rubric, asking.min_probability)
        else:
            reply = self._structured(messages, extra)
            judgement = rating_in(reply.text, asking.rubric, is_continued=not self._is_chat, is_cut=reply.is_cut)
        return judgement._replace(
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            said="" if judgement.rating is not None else self._server.shown(reply.text),
        )

    def _structured(self, messages: str | Messages, extra: dict[str, Any]) -> Reply:
        """The reply, held to the schema of an answer by a server that can do that."""
        max_tokens = self._asking.max_tokens
        if not self._is_chat or self._knows_schema is False:
            return ask(self._server, messages, max_tokens=max_tokens, extra=extra)
        held = {**extra, "response_format": answer_schema(self._asking.rubric.ratings)}
        try:
            reply = ask(self._server, messages, max_tokens=max_tokens, extra=held)
        except ServerError as error:
            if error.status not in UNSUPPORTED or self._knows_schema:
                raise
            reply = ask(self._server, messages, max_tokens=max_tokens, extra=extra)
            self._knows_schema = False
            logger.warning(
                "%s does not take a JSON schema of answers, so the judge is only asked for one.", self._server.model
            )
            return reply
        self._knows_schema = True
        return reply


def answer_schema(ratings: Sequence[int]) -> dict[str, Any]:
    """`response_format` of the chat API for a rating."""
    schema = {
        "type": "object",
        "properties": {ANSWER_KEY: {"type": "integer", "enum": [*ratings]}},
        "required": [ANSWER_KEY],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def concurrently(
    function: Callable[[Item], Result], items: Sequence[Item], num_threads: int
) -> Generator[tuple[int, Result], None, None]:
    """(index, result) of each item, as they finish.

    Closing the iterator, or an interruption, does not wait for the calls that are running: their threads end by themselves,
    and do not keep the process alive.
    """
    waiting: SimpleQueue[tuple[int, Item] | None] = SimpleQueue()
    done: SimpleQueue[tuple[int, Result] | None] = SimpleQueue()
    is_closed = Event()

    def work() -> None:
        try:
            while not is_closed.is_set() and (task := waiting.get()) is not None:
                index, item = task
                done.put((index, function(item)))
        finally:
            done.put(None)

    num_running = min(num_threads, len(items))
    for task in [*enumerate(items), *[None] * num_running]:
        waiting.put(task)
    for _ in range(num_running):
        Thread(target=work, daemon=True).start()
    num_left = len(items)
    try:
        while num_left:
            result = done.get()
            if result is None:
                num_running -= 1
                assert num_running, "a thread raised an error, which Python has shown"
                continue
            num_left -= 1
            yield result
    finally:
        is_closed.set()
