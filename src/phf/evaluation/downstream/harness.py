"""A model in the interface of lm-evaluation-harness, which keeps its prefix and shares the work among processes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm
from transformers import GenerationConfig

from phf.errors import ConfigError, CorpusError
from phf.models.model_folder import processes
from phf.models.vocabulary import end_ids, ids_without_token
from phf.sampling.continuation import BehindPrompt, decode, until_end
from phf.sampling.padding import Together, batches, runs_together
from phf.sampling.static_cache import forget, pad_left
from phf.tokens.document_start import own_prefix
from phf.tokens.tokenizer import PlainEncoder

MAX_NEW_TOKENS = 256
"""Tokens generated for a task that does not set a number."""


class HarnessLM(HFLM):
    """A causal LM in memory; neither it nor its generation config is changed.

    Every text is encoded as text only and follows the prefix, which is neither scored nor cut off: what does
    not fit the context loses tokens from its left, after the prefix. Generation also starts from the prefix, follows
    only the task's settings and never emits a banned token; it takes at most half of the context, so that a prompt
    keeps the other half.

    The harness sees one process; requests are distributed document by document to the processes of `torchrun` or
    `accelerate launch`, each of which holds the whole model, and every process gets all answers.

    Args:
        model: the LM, on its device.
        tokenizer: a fast one, with a padding token.
        batch_size: texts in a forward pass of each process.
        prefix_ids: EOS and control token; empty: what the tokenizer itself puts in front of a text.
        banned_token_ids: never generated. None: all special tokens except those that end a text, if the prefix has more than
            BOS or EOS, such as the control token of an exported model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        batch_size: int,
        prefix_ids: Sequence[int] = (),
        banned_token_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal", softmax_dtype="float32"
        )
        self._processes = processes()
        self._encoder = PlainEncoder(tokenizer)
        self._prefix = list(prefix_ids) or own_prefix(tokenizer)
        if self.max_length < 2 * len(self._prefix) + 2:
            raise ConfigError(
                f"The model's context of {self.max_length} tokens has no room for a text after its prefix of "
                f"{len(self._prefix)} tokens."
            )
        self._ends = end_ids(model, tokenizer)
        self._special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        if banned_token_ids is None:
            starts_with_more = bool(set(self._prefix) - {*self._ends} - {tokenizer.bos_token_id})
            banned_token_ids = sorted(self._special - {*self._ends}) if starts_with_more else []
        banned = sorted({*banned_token_ids, *ids_without_token(model, tokenizer)})
        self._generation_config = GenerationConfig(
            eos_token_id=self._ends, pad_token_id=tokenizer.pad_token_id, suppress_tokens=banned or None
        )

    @property
    def max_gen_toks(self) -> int:
        """New tokens if the task does not set a number."""
        return MAX_NEW_TOKENS

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any
    ) -> list[int]:
        """Ids of the text alone; other requested changes are made where the prefix is added."""
        return self._encode([string])[0]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-probability in nats, whether greedy decoding gives it) of each continuation of its context."""
        pairs = [_split_before_space(*request.args) for request in requests]
        contexts = self._encode([context for context, _ in pairs])
        wholes = self._encode([context + continuation for context, continuation in pairs])
        encoded = []
        for request, context, whole in zip(requests, contexts, wholes, strict=True):
            continuation = whole[len(context) :]
            if not continuation:
                raise CorpusError(
                    f"Task '{request.task_name}', document {request.doc_id}: the continuation "
                    f"{request.args[1]!r} has no tokens of its own. Repair the document or the task's doc_to_target."
                )
            context = self._in_front(context, self.max_length + 1 - len(continuation))
            encoded.append((request.args, context, continuation))
        return self._share(requests, encoded, lambda own: self._loglikelihood_tokens(own, disable_tqdm))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each text in nats; a long one is read in windows, each after the prefix."""
        return self._share(requests, self._encode([request.args[0] for request in requests]), self._rolling)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The continuation of each context up to one of its stop strings or the end of text."""
        own = []
        for request in requests:
            context, settings = request.args
            settings = normalize_gen_kwargs(settings, self.max_gen_toks)
            settings["max_gen_toks"] = min(settings["max_gen_toks"], self.max_length // 2)
            own.append(dataclasses.replace(request, arguments=(context, settings)))
        is_quiet = disable_tqdm or not self._processes.is_main_process
        return self._share(requests, own, lambda share: self._continuations(share, is_quiet))

    def _continuations(self, requests: list[Any], is_quiet: bool) -> list[str]:
        """What follows each context when both are decoded together, up to a stop string or the end of text."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.args[1].items())), []).append(index)
        continuations = [""] * len(requests)
        progress = tqdm(total=len(requests), disable=is_quiet, desc="Running generate_until requests")
        for indices in groups.values():
            settings = dict(requests[indices[0]].args[1])
            until = handle_stop_sequences(settings.pop("until", None), eos=self.tokenizer.eos_token)
            num_new = settings.pop("max_gen_toks")
            texts = self._encode([requests[index].args[0] for index in indices])
            rows = [self._in_front(ids, self.max_length - num_new) for ids in texts]
            together = runs_together(self.model, in_own_loop=False) if self.batch_size > 1 else Together.ANY
            for batch in batches([len(row) for row in rows], self.batch_size, together):
                ids, mask = pad_left([rows[i] for i in batch], self.tokenizer.pad_token_id, self.device)
                width = ids.size(1)
                output = self._model_generate(
                    ids, max_length=width + num_new, stop=until, attention_mask=mask, **dict(settings)
                )
                for i, new in zip(batch, output[:, width:].tolist(), strict=True):
                    decoder = BehindPrompt(self.tokenizer, rows[i][len(self._prefix) :])
                    text = decode(decoder, until_end(new, self._ends), self._special)
                    continuations[indices[i]] = postprocess_generated_text(text, stop=until, think_end_token=None)
                progress.update(len(batch))
        progress.close()
        return continuations

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        if settings.get("do_sample"):
            settings.setdefault("top_k", 0)  # otherwise transformers samples from the 50 most likely tokens
        forget(self.model, len(context))
        own = self.model.generation_config
        self.model.generation_config = (
            self._generation_config
        )  # generate() would take missing settings from the model's
        try:
            return super()._model_generate(context, max_length, stop, **settings)
        finally:
            self.model.generation_config = own

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        is_quiet = disable_tqdm or not self._processes.is_main_process
        return super()._loglikelihood_tokens(requests, is_quiet, override_bs)

    def _rolling(self, texts: list[list[int]]) -> list[float]:
        windows, owners = [], []
        for owner, ids in enumerate(texts):
            room = self.max_length - len(self._prefix)
            token_windows = get_rolling_token_windows(ids, self.prefix_token_id, room, context_len=1)
            for number, (context, targets) in enumerate(map(make_disjoint_window, token_windows)):
                windows.append((None, self._in_front(context if number else [], self.max_length), targets))
                owners.append(owner)
        totals = [0.0] * len(texts)
        if windows:
            for owner, (nats, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
                totals[owner] += nats
        return totals

    def _in_front(self, ids: list[int], room: int) -> list[int]:
        """Prefix and the last of `ids`, at most `room` tokens; a token to start from if both are empty."""
        if room < max(len(self._prefix), 1):
            raise ConfigError(
                f"A continuation does not fit the model's context of {self.max_length} tokens after the prefix of "
                f"{len(self._prefix)}. Leave the task out."
            )
        kept = room - len(self._prefix)
        return self._prefix + ids[max(len(ids) - kept, 0) :] or [self.prefix_token_id]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids, lengths = self._encoder.encode(texts)
        ends = np.cumsum(lengths)
        return [ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)]

    def _share(self, requests: list[Any], items: list[Any], run: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """`run(items)`, each process on its own documents; the answers in the order of `items`."""
        rank, num_processes = self._processes.process_index, self._processes.num_processes
        own_indices = [i for i, request in enumerate(requests) if (request.doc_id or 0) % num_processes == rank]
        answers = run([items[i] for i in own_indices]) if own_indices else []
        if num_processes == 1:
            return answers
        together: dict[int, Any] = {}
        for indices, shared in gather_object([(own_indices, answers)]):
            together.update(zip(indices, shared, strict=True))
        return [together[i] for i in range(len(items))]


def _split_before_space(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of the context belongs to the continuation, whose first word was encoded with it."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation
