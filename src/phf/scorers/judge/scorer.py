"""An LLM as a judge: it rates each text by a rubric, and the rating is the score."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Literal

from phf.clients.server import CompletionsServer
from phf.errors import ConfigError
from phf.scorers.base import SegmentScorer
from phf.scorers.judge.answer import Judgement
from phf.scorers.judge.judge import Asking, Judge
from phf.scorers.judge.kept import KeptJudgements
from phf.scorers.judge.prompt import FORMAT
from phf.scorers.judge.rubric import Rubric, read_rubric
from phf.scorers.judge.served import ServedJudge
from phf.scorers.usage import Usage

SECONDS_BETWEEN_SAVES = 1.0
MILLION = 1_000_000
logger = logging.getLogger(__name__)
ONE_JUDGE = "Give either base_url and model (a server), or path_or_name (a model on this machine)."


class JudgeScorer(SegmentScorer):
    """The rating of a language model, by a rubric, in [0, 1]: 0 is the good end of the rubric's scale, 1 the bad end.

    Unscored: blank text, text longer than `max_chars` or than the model's context, and text that the judge did not rate: it
    did not answer, or with something else than a rating on the scale. Instructions in a text are marked as data, and cannot
    break out of their place in the prompt; see `phf.scorers.judge.prompt`.

    Args:
        rubric: a YAML file, or its content: question, scale, higher_is_worse, levels, examples.
        base_url: of an OpenAI-compatible server, e.g. `http://localhost:8000/v1`.
        model: the server's name of the model.
        path_or_name: instead, a causal LM on this machine: folder or Hub name.
        revision: branch, tag or commit on the Hub.
        method: `answer`: the rating that the judge writes; `logprobs`: the mean rating by the probabilities of the first token
            of its answer (ratings of one digit only).
        is_chat: ask in a conversation, or let the model continue the prompt; None: a conversation, unless a model on this
            machine has no chat template.
        max_tokens: of an answer; thinking models need many more.
        min_probability: what all ratings together must have with `logprobs`; with less the text is unscored.
        chat_template_kwargs: variables of the chat template, e.g. `{enable_thinking: false}`.
        max_chars: longer text is unscored, not truncated.
        api_key_env: name of the environment variable that holds the server's key.
        timeout: seconds to wait for one answer.
        max_retries: how often a request that failed is sent again, waiting longer each time.
        concurrency: requests at a time, of each process.
        cache: keep ratings by content, and do not ask for them again.
        price_per_million: of prompt tokens and of answered ones, in any currency, for `phf profile --estimate`.
        device, batch_tokens: of a model on this machine, as for `ClassifierScorer`.
    """

    score_bounds = (0.0, 1.0)
    working_settings = frozenset(
        {"device", "batch_tokens", "api_key_env", "timeout", "max_retries", "concurrency", "cache", "price_per_million"}
    )

    def __init__(
        self,
        rubric: str | dict[str, Any],
        base_url: str | None = None,
        model: str | None = None,
        path_or_name: str | None = None,
        revision: str | None = None,
        method: Literal["answer", "logprobs"] = "answer",
        is_chat: bool | None = None,
        max_tokens: int = 64,
        min_probability: float = 0.5,
        chat_template_kwargs: dict[str, Any] | None = None,
        max_chars: int = 20_000,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60,
        max_retries: int = 3,
        concurrency: int = 8,
        cache: bool = True,
        price_per_million: list[float] | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.rubric: Rubric = read_rubric(rubric)
        asking = Asking(self.rubric, method, max_tokens, min_probability, chat_template_kwargs or {})
        asking.check()
        if max_chars < 1:
            raise ConfigError(f"max_chars is {max_chars}; it must be positive.")
        if price_per_million is not None and (
            len(price_per_million) != 2 or not all(p >= 0 for p in price_per_million)
        ):
            raise ConfigError(
                f"price_per_million is {price_per_million}; the prices of prompt and answer were expected."
            )
        self._max_chars = max_chars
        self._judge: Judge
        if base_url is not None and model is not None and path_or_name is None:
            _check_limits(timeout, max_retries)
            server = CompletionsServer(base_url, model, api_key_env, timeout, max_retries)
            self._judge = ServedJudge(server, asking, is_chat=is_chat is not False, concurrency=concurrency)
            name = f"model {model} at {server.base_url}"
        elif path_or_name is not None and base_url is None and model is None:
            from phf.scorers.judge.local import LocalJudge  # loads torch

            local = LocalJudge(path_or_name, asking, is_chat, revision, device, batch_tokens)
            self._judge, self.device, self.precision = local, local.device, local.precision
            name = f"model {path_or_name}"
        else:
            raise ConfigError(ONE_JUDGE)
        identity = {
            "format": FORMAT,
            "judge": self._judge.identity(),
            "rubric": self.rubric.as_dict(),
            "method": method,
            "max_tokens": max_tokens,
            "min_probability": min_probability,
            "chat_template_kwargs": asking.template_settings,
            "precision": self.precision,
        }
        self.version = f"1+{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]}"
        self._kept = KeptJudgements(identity, f"JudgeScorer, {name}: {self.rubric.question}") if cache else None
        self._reads_kept = True
        self._prices = price_per_million
        self._reported: set[str] = set()
        """Reasons of which the user has seen an example."""
        self.usage = self._used = Usage(cost=None if price_per_million is None else 0.0)

    def describe(self) -> dict[str, Any]:
        """As for any scorer, with the content of the rubric instead of the name of its file."""
        described = super().describe()
        return {**described, "settings": {**described["settings"], "rubric": self.rubric.as_dict()}}

    @contextmanager
    def without_cache(self) -> Iterator[None]:
        """See `Scorer.without_cache`: every text is asked for; the answers are kept."""
        self._reads_kept = False
        try:
            yield
        finally:
            self._reads_kept = True

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text, in order; see the class for what is unscored. Equal texts are asked for once."""
        reasons = {text: self._unratable(text) for text in dict.fromkeys(texts)}
        to_rate = [text for text, reason in reasons.items() if reason is None]
        judgements = {text: Judgement(None, reason) for text, reason in reasons.items() if reason is not None}
        if self._kept is not None and self._reads_kept:
            judgements |= self._kept.find(to_rate)
        judgements |= self._asked([text for text in to_rate if text not in judgements])
        scores: list[float | None] = []
        for text in texts:
            judgement = judgements[text]
            if judgement.rating is None:
                self.unscored[judgement.reason] += 1
            scores.append(None if judgement.rating is None else self.rubric.badness(judgement.rating))
        return scores

    def _unratable(self, text: str) -> str | None:
        if not text.strip():
            return "blank text"
        return f"longer than {self._max_chars:,} characters (max_chars)" if len(text) > self._max_chars else None

    def _asked(self, texts: Sequence[str]) -> dict[str, Judgement]:
        """The judge's answers, which are kept as they come, also if an error ends it."""
        judgements: dict[str, Judgement] = {}
        fresh: dict[str, Judgement] = {}
        last = time.monotonic()
        try:
            with closing(self._judge.judge(texts)) as answers:
                for index, judgement in answers:
                    judgements[texts[index]] = judgement
                    self.usage = self._used = self._used.plus(self._usage_of(judgement))
                    if judgement.rating is not None:
                        fresh[texts[index]] = judgement
                    elif judgement.said and judgement.reason not in self._reported:
                        self._reported.add(judgement.reason)
                        logger.warning("%s. It said: %s. Such texts stay unscored.", judgement.reason, judgement.said)
                    if time.monotonic() - last >= SECONDS_BETWEEN_SAVES:
                        self._keep(fresh)
                        last = time.monotonic()
        finally:
            self._keep(fresh)
        return judgements

    def _usage_of(self, judgement: Judgement) -> Usage:
        if not judgement.has_reply:
            return Usage(cost=None if self._prices is None else 0.0)
        tokens = (judgement.prompt_tokens, judgement.completion_tokens)
        if self._prices is None or None in tokens:
            return Usage(1, *tokens)
        prices = zip(self._prices, tokens, strict=True)
        return Usage(1, *tokens, sum(price * count for price, count in prices if count) / MILLION)

    def _keep(self, fresh: dict[str, Judgement]) -> None:
        if self._kept is not None and fresh:
            self._kept.add(fresh)
        fresh.clear()


def _check_limits(timeout: float, max_retries: int) -> None:
    if not 0 < timeout < float("inf"):
        raise ConfigError(f"timeout is {timeout}; it must be a positive number of seconds.")
    if not 0 <= max_retries <= 100:
        raise ConfigError(f"max_retries is {max_retries}; it must be from 0 to 100.")
