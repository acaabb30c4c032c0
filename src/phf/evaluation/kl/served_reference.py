"""A reference LM behind an OpenAI-compatible completions server that returns log-probabilities of prompts."""

from typing import Any, NamedTuple

import numpy as np

from phf.clients.server import CompletionsServer, Continuation, TokenLogprobs
from phf.config import KLConfig, KLReferenceConfig
from phf.errors import ServerError
from phf.evaluation.kl.reference import ReferenceSample, shared_text
from phf.storage.hashing import hash64
from phf.text import visible

STARTS = ("", "<|endoftext|>")
"""Prompts that are tried if the section sets none: a server's tokenizer may put BOS in front of the empty one."""
PROBE = "The quick brown fox jumps over the lazy dog."
PROBE_TOLERANCE = 0.1
"""Nats per token, on average, by which the two log-probabilities of a token may differ; bfloat16 differs by less."""
WHOLE_DISTRIBUTION = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
"""Servers take such settings from the model's folder by default; vLLM's, SGLang's and llama.cpp's names."""
IDS = {"return_token_ids": True}
SPACES = str.maketrans({"\u0120": " ", "\u2581": " "})
"""How tokenizers spell a space, for servers that return tokens in the tokenizer's spelling."""
LOCAL_INSTEAD = "Use a server that does, such as vLLM, or a local model with kl_gpt3_callback.reference.path_or_name"
REFUSED = (400, 405, 413, 422, 501)
"""Statuses of a server that understood a request and does not support it."""


class Start(NamedTuple):
    """The start of a document: the prompt, and its tokens according to the server."""

    prompt: str
    tokens: list[str]


class ServedReference:
    """One model of a server. Raises `ServerError` for a server that lacks a required feature, before anything is drawn."""

    def __init__(self, config: KLReferenceConfig) -> None:
        self.config = config

    def key(self) -> dict[str, Any]:
        """URL, model and prompt; the key of the server is not included."""
        return {"base_url": self.config.base_url, "model": self.config.model, "prompt": self.config.prompt}

    def draw(self, section: KLConfig) -> list[ReferenceSample]:
        """Sample, and have the server score each text as its own tokenizer encodes it."""
        assert self.config.base_url is not None
        assert self.config.model is not None
        server = CompletionsServer(self.config.base_url, self.config.model, self.config.api_key_env)
        start = find_start(server, self.config.prompt)
        extra = accepted_settings(server, start)
        drawn: list[Continuation] = []
        for begin in range(0, section.num_samples, section.batch_size):
            size = min(section.batch_size, section.num_samples - begin)
            # 31 bits; servers add the number of the sample to it
            seed = hash64("reference", section.seed, begin) >> 33
            drawn += server.sample(start.prompt, n=size, max_tokens=section.max_tokens, seed=seed, extra=extra)
        samples, echoes = [], []
        for begin in range(0, len(drawn), section.batch_size):
            batch = [_with_end(continuation, server) for continuation in drawn[begin : begin + section.batch_size]]
            texts = [start.prompt + shared_text(text, is_ended) for text, is_ended, _ in batch]
            not_empty = [text for text in texts if text]
            scored = iter(server.token_logprobs(not_empty) if not_empty else ())
            of_texts = [next(scored) if text else TokenLogprobs(start.tokens, [], None) for text in texts]
            echoed = [_behind_start(logprobs, start, server) for logprobs in of_texts]
            echoes += echoed
            samples += [
                _sample(*parts, echo, continuation)
                for parts, echo, continuation in zip(
                    batch, echoed, drawn[begin : begin + section.batch_size], strict=True
                )
            ]
        check_agreement(server, drawn, echoes)
        return samples


def find_start(server: CompletionsServer, prompt: str | None) -> Start:
    """The prompt that starts a document, after checking that the server returns the log-probabilities of a known text."""
    where = f"{server.base_url}, model '{visible(server.model)}'"
    refusals = []
    for start in STARTS if prompt is None else (prompt,):
        try:
            probe = server.token_logprobs([start + PROBE])[0]
            # vLLM fails on an empty text: its tokens are those in front of the probe
            alone = server.token_logprobs([start])[0] if start else probe
        except ServerError as error:
            if error.status not in REFUSED:
                raise
            refusals.append(str(error))
            continue
        if alone is None or probe is None:
            raise ServerError(
                f"{where}: returns no log-probabilities of a prompt, from which KL is computed: it ignores `echo` or "
                f"`logprobs`, as llama.cpp's server does. {LOCAL_INSTEAD}."
            )
        tokens = alone.tokens if start else _in_front(probe.tokens)
        if probe.tokens[: len(tokens)] != tokens or not _spell_probe(probe.tokens[len(tokens) :]):
            raise ServerError(
                f"{where}: the tokens it returns for a known text do not spell it: {visible(repr(probe.tokens), 200)}. "
                f"{LOCAL_INSTEAD}."
            )
        if None in probe.logprobs[max(len(tokens), 1) :]:
            raise ServerError(f"{where}: leaves out some log-probabilities of a prompt. {LOCAL_INSTEAD}.")
        if tokens and (not start or tokens == [start]):
            return Start(start, tokens)
        refusals.append(f"reads {start!r} as {visible(repr(tokens), 100)}, which is not one token.")
    advice = (
        "Set kl_gpt3_callback.reference.prompt to the token that starts a document, as text, or to the empty text if "
        "the server's tokenizer puts it there by itself. If the server cannot return log-probabilities of a prompt: "
        f"{LOCAL_INSTEAD}."
    )
    raise ServerError(f"{where}: no prompt was found that a document can start from. {' '.join(refusals)} {advice}")


def _spell_probe(tokens: list[str]) -> bool:
    return "".join(tokens).translate(SPACES).strip() == PROBE


def _in_front(tokens: list[str]) -> list[str]:
    """Those that the server's tokenizer puts in front of the probe."""
    counts = [count for count in range(len(tokens)) if _spell_probe(tokens[count:])]
    return tokens[: max(counts, default=0)]


def accepted_settings(server: CompletionsServer, start: Start) -> dict[str, Any]:
    """The extra fields that this server accepts; one that accepts none draws from the whole distribution, like OpenAI's."""
    for extra in ({**WHOLE_DISTRIBUTION, **IDS}, WHOLE_DISTRIBUTION, {}):
        try:
            sample = server.sample(start.prompt, n=1, max_tokens=1, seed=0, extra=extra)[0]
        except ServerError as error:
            if error.status not in REFUSED or not extra:
                raise
            continue
        if sample.logprobs is None:
            raise ServerError(
                f"{server.base_url}, model '{visible(server.model)}': returns no log-probabilities of its samples. "
                f"{LOCAL_INSTEAD}."
            )
        return dict(extra)
    raise AssertionError("the last request is made without further fields")


def _with_end(continuation: Continuation, server: CompletionsServer) -> tuple[str, bool, list[float]]:
    """Text, whether its end counts, and log p of each token. An end without a log-probability is not charged."""
    logprobs = continuation.logprobs
    if logprobs is None or None in logprobs.logprobs:
        raise ServerError(f"{server.base_url}: returned a sample without its log-probabilities. {LOCAL_INSTEAD}.")
    has_end = continuation.is_ended and bool(logprobs.tokens) and not continuation.text.endswith(logprobs.tokens[-1])
    return continuation.text, has_end, [value for value in logprobs.logprobs if value is not None]


def _behind_start(logprobs: TokenLogprobs | None, start: Start, server: CompletionsServer) -> TokenLogprobs:
    """The tokens of a text without those of the start."""
    skip = len(start.tokens)
    if logprobs is None or logprobs.tokens[:skip] != start.tokens or None in logprobs.logprobs[skip:]:
        raise ServerError(
            f"{server.base_url}: returned the log-probabilities of the probe, but not those of a sample. {LOCAL_INSTEAD}."
        )
    return TokenLogprobs(logprobs.tokens[skip:], logprobs.logprobs[skip:], None)


def _sample(
    text: str, is_ended: bool, logprobs: list[float], echo: TokenLogprobs, continuation: Continuation
) -> ReferenceSample:
    ids = continuation.token_ids
    if ids is not None:
        # an end that is not charged has no id among these either
        ids = ids[: len(logprobs) - is_ended] if len(ids) == len(logprobs) else None
    end = logprobs[-1] if is_ended else 0.0
    return ReferenceSample(text, is_ended, ids, logprobs, sum(v for v in echo.logprobs if v is not None) + end)


def check_agreement(server: CompletionsServer, drawn: list[Continuation], echoed: list[TokenLogprobs]) -> None:
    """Raises `ServerError` if a token's probability while sampling differs from the one it has in a prompt.

    Then the server samples from a distribution other than the model's (a temperature, a filter, a penalty), so its
    samples are not samples of the reference.
    """
    differences: list[float] = []
    for continuation, echo in zip(drawn, echoed, strict=True):
        assert continuation.logprobs is not None
        if continuation.logprobs.tokens[: len(echo.tokens)] == echo.tokens:
            pairs = zip(continuation.logprobs.logprobs, echo.logprobs, strict=False)
            differences += [
                abs(sampled - scored) for sampled, scored in pairs if sampled is not None and scored is not None
            ]
    if differences and np.mean(differences) > PROBE_TOLERANCE:
        raise ServerError(
            f"{server.base_url}, model '{visible(server.model)}': the log-probabilities of its samples differ by "
            f"{np.mean(differences):.2f} nats per token from those it returns for the same text as a prompt, so it does not "
            "sample from the model's own distribution. Start it without default sampling settings (vLLM: "
            "--generation-config vllm) and with raw log-probabilities."
        )
