"""A judge on this machine: a causal LM of Hugging Face.

Prompts of equal length are run together, so that no position is padding and every architecture gives a text the rating that it
gives it alone.
"""

import hashlib
import inspect
import json
import math
import re
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from phf.errors import ConfigError
from phf.scorers.judge.answer import END_OF_THOUGHTS, SPACES, Judgement, expected_rating, rating_in
from phf.scorers.judge.judge import Asking, Judge
from phf.scorers.judge.prompt import Prompt
from phf.scorers.transformer.classifier import ADVICE, KEY, model_version
from phf.scorers.transformer.sequence_classifier import BATCH_TOKENS, NO_LIMIT, longest_input, usable_device
from phf.storage.pretrained import load_model, read_pretrained
from phf.storage.saved_tokenizer import read_tokenizer
from phf.text import visible

SAID_CHARS = 300
"""Of an answer that is not a rating, for a message."""
TOO_LONG = "longer than the judge's context"
NOT_FINITE = "the judge's probabilities are not finite"
OPEN_THOUGHTS = re.compile(r"<think>(?!.*</think>)", re.DOTALL)
"""At the end of a chat template: the judge's reply begins inside of its thoughts."""
PLACE = "\ue000judged\ue000"
"""Stands for the prompt while a chat template is applied; of the private use area, so that no template contains it."""


class LocalJudge(Judge):
    """One model, loaded when the first text is rated; in bfloat16 on CUDA, in float32 elsewhere.

    Args:
        is_chat: ask through the tokenizer's chat template; None: if it has one.
        device, batch_tokens: see `SequenceClassifierScorer`; a batch holds prompts only.

    Raises `ConfigError` for a model that cannot be loaded.
    """

    def __init__(
        self,
        path_or_name: str,
        asking: Asking,
        is_chat: bool | None,
        revision: str | None,
        device: str | None,
        batch_tokens: int | None,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigError(f"batch_tokens is {batch_tokens}; it must be positive.")
        self.device = usable_device(device)
        self._dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.precision = f"{str(self._dtype).removeprefix('torch.')} on {self.device.type}"
        self._batch_tokens = batch_tokens or BATCH_TOKENS.get(self.device.type, BATCH_TOKENS["cpu"])
        self._path_or_name, self._asking, self._revision = path_or_name, asking, revision
        config = read_pretrained(AutoConfig.from_pretrained, path_or_name, KEY, advice=ADVICE, revision=revision)
        self._version = model_version(path_or_name, config)
        self._tokenizer = read_tokenizer(path_or_name, KEY, advice=ADVICE, revision=revision)
        if not self._tokenizer.is_fast:
            raise ConfigError(
                f"{KEY}: {type(self._tokenizer).__name__} cannot read text without its special tokens; a fast tokenizer is "
                "needed."
            )
        has_template = self._tokenizer.chat_template is not None
        if is_chat and not has_template:
            raise ConfigError(f"is_chat is true, but the tokenizer of '{path_or_name}' has no chat template.")
        self._is_chat = has_template if is_chat is None else is_chat
        self._plain = Tokenizer.from_str(self._tokenizer.backend_tokenizer.to_str())
        self._plain.no_padding()
        self._plain.no_truncation()
        self._plain.encode_special_tokens = True
        self._model: Any = None
        self._ends = _end_ids(path_or_name, revision, config, self._tokenizer)
        self._begins_in_thoughts = self._is_chat and OPEN_THOUGHTS.search(self._around()[1]) is not None
        if self._begins_in_thoughts and asking.method == "logprobs":
            raise ConfigError(
                f"{KEY}: the chat template of '{path_or_name}' lets the judge begin with its thoughts (<think>), so the first "
                "token is not a rating. Set chat_template_kwargs: {enable_thinking: false} if the template has it, or use "
                "method: answer with enough max_tokens for the thoughts."
            )

    def identity(self) -> dict[str, Any]:
        """The weights, how they are asked, and what makes tokens of a prompt; the same folder under another name is the same
        judge."""
        template = self._tokenizer.chat_template if self._is_chat else None
        reading = json.dumps([self._plain.to_str(), template], sort_keys=True).encode("utf-8", "surrogatepass")
        return {
            "weights": self._version,
            "is_chat": self._is_chat,
            "tokenizer": hashlib.sha256(reading).hexdigest()[:12],
            **({"begins_in_thoughts": True} if self._begins_in_thoughts else {}),
            "ends": self._ends,  # also tells ratings from those under the model's own settings, as they once were
        }

    def judge(self, texts: Sequence[str]) -> Generator[tuple[int, Judgement], None, None]:
        """See `Judge`. The longest prompts come first: they need the most memory."""
        if not texts:
            return
        model = self._ready()
        room = self._room(model)
        by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for index, text in enumerate(texts):
            ids = self.encode(self._asking.prompt(text, is_chat=self._is_chat))
            if len(ids) > room:
                yield index, Judgement(None, TOO_LONG, has_reply=False)
            else:
                by_length[len(ids)].append((index, ids))
        for length in sorted(by_length, reverse=True):
            for batch in _cut(by_length[length], max(1, self._batch_tokens // length)):
                rows = torch.tensor([ids for _, ids in batch], device=self.device)
                for (index, _), judgement in zip(batch, self._judgements(model, rows), strict=True):
                    yield index, judgement

    def _room(self, model: Any) -> int:
        """Tokens that a prompt may have. Raises `ConfigError` if the rubric alone has as many."""
        context = longest_input(model, self._tokenizer, otherwise=NO_LIMIT)
        answer = 0 if self._asking.method == "logprobs" else self._asking.max_tokens
        rubric = len(self.encode(self._asking.prompt("", is_chat=self._is_chat)))
        if rubric + answer >= context:
            lower = ", lower max_tokens" if answer else ""
            raise ConfigError(
                f"{KEY}: the context of '{self._path_or_name}' is {context:,} tokens, of which the rubric takes {rubric:,} and "
                f"an answer up to {answer:,}: no text fits. Shorten the rubric{lower}, or choose another judge."
            )
        return context - answer

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt; special tokens that are spelled out in the judged text are plain text."""
        tokenizer = self._tokenizer
        start = end = ""
        opening: list[int] = []
        if self._is_chat:
            start, end = self._around()
        else:
            opening = [i for i in tokenizer("")["input_ids"] if i == tokenizer.bos_token_id]
        outer = [
            tokenizer(part, add_special_tokens=False)["input_ids"]
            for part in (start + prompt.before, prompt.after + end)
        ]
        return [*opening, *outer[0], *self._plain.encode(prompt.text, add_special_tokens=False).ids, *outer[1]]

    def _around(self) -> tuple[str, str]:
        """What the chat template puts before the user's message, and behind it."""
        messages = [{"role": "user", "content": PLACE}]
        settings = self._asking.template_settings
        whole = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **settings)
        start, place, end = whole.partition(PLACE)
        if not place or PLACE in end:
            raise ConfigError(
                f"{KEY}: the chat template of '{self._path_or_name}' does not contain the user's message once."
            )
        return start, end

    @torch.inference_mode()
    def _judgements(self, model: Any, rows: torch.Tensor) -> Iterator[Judgement]:
        """Of prompts of equal length, [prompts, tokens]."""
        try:
            if self._asking.method == "logprobs":
                return iter(self._by_logprobs(model, rows))
            return iter(self._by_answer(model, rows))
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{KEY}: {self.device} ran out of memory on {rows.numel():,} tokens. Lower batch_tokens (now "
                f"{self._batch_tokens:,})."
            ) from error

    def _by_logprobs(self, model: Any, rows: torch.Tensor) -> list[Judgement]:
        last_only = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        logits = model(input_ids=rows, attention_mask=torch.ones_like(rows), use_cache=False, **last_only).logits[:, -1]
        logprobs = logits.float().log_softmax(dim=-1)
        ids = self._rating_ids(logits.size(-1))
        return [
            self._expected([*zip(ids.values(), row, strict=True)], rows.size(1))
            for row in logprobs[:, list(ids)].tolist()
        ]

    def _expected(self, logprobs: list[tuple[str, float]], num_tokens: int) -> Judgement:
        if any(math.isnan(value) for _, value in logprobs):
            return Judgement(None, NOT_FINITE)
        judgement = expected_rating(logprobs, self._asking.rubric, self._asking.min_probability)
        return judgement._replace(prompt_tokens=num_tokens, completion_tokens=1)

    def _rating_ids(self, num_rows: int) -> dict[int, str]:
        """Ids of the tokens that are a rating, perhaps after a space -> their spelling."""
        names = {str(rating) for rating in self._asking.rubric.ratings}
        spellings = {
            i: token
            for token, i in self._tokenizer.get_vocab().items()
            if token.strip(SPACES) in names and i < num_rows
        }
        if not spellings:
            raise ConfigError(
                f"{KEY}: the tokenizer of '{self._path_or_name}' has no token for a rating. Use method: answer."
            )
        return spellings

    def _by_answer(self, model: Any, rows: torch.Tensor) -> list[Judgement]:
        ends = self._ends
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=self._asking.max_tokens,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
        )
        width = rows.size(1)
        answers = model.generate(input_ids=rows, attention_mask=torch.ones_like(rows), generation_config=config)
        judgements = []
        for answer in answers[:, width:].tolist():
            length = next((place for place, i in enumerate(answer) if i in ends), len(answer))
            is_cut = length == self._asking.max_tokens
            text = self._decoded(answer[:length])
            judged = rating_in(
                text,
                self._asking.rubric,
                is_continued=not self._is_chat,
                is_cut=is_cut,
                begins_in_thoughts=self._begins_in_thoughts,
            )
            said = "" if judged.rating is not None else visible(text, SAID_CHARS)
            judgements.append(judged._replace(prompt_tokens=width, completion_tokens=length, said=said))
        return judgements

    def _decoded(self, answer: list[int]) -> str:
        """The text of an answer without special tokens, but with the end of thoughts, which may be one."""
        end = self._tokenizer.get_vocab().get(END_OF_THOUGHTS)
        texts = [self._tokenizer.decode(part, skip_special_tokens=True) for part in _parts(answer, end)]
        return END_OF_THOUGHTS.join(texts)

    def _ready(self) -> Any:
        if self._model is None:
            model = load_model(
                AutoModelForCausalLM, self._path_or_name, KEY, advice=ADVICE, revision=self._revision, dtype=self._dtype
            )
            self._model = model.to(self.device).eval()
            # generate() would take from it what is not set, such as a penalty for numbers that the rubric has named
            self._model.generation_config = GenerationConfig()
        return self._model


def _end_ids(path_or_name: str, revision: str | None, config: Any, tokenizer: Any) -> list[int]:
    """Ids that end an answer: the tokenizer's EOS, then those that the model's settings name.

    A single id that is an ordinary token is a default that nobody set for this model, such as the 2 of `LlamaConfig`.
    """
    try:
        own = GenerationConfig.from_pretrained(path_or_name, revision=revision).eos_token_id
    except OSError:  # the model has no file of settings for generation
        own = getattr(config, "eos_token_id", None)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = own if isinstance(own, list) else [own] if own in special else []
    return [i for i in dict.fromkeys([tokenizer.eos_token_id, *named]) if i is not None]


def _parts(ids: list[int], separator: int | None) -> Iterator[list[int]]:
    """`ids` between occurrences of `separator`; at least one part."""
    part: list[int] = []
    for i in ids:
        if i == separator:
            yield part
            part = []
        else:
            part.append(i)
    yield part


def _cut(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
