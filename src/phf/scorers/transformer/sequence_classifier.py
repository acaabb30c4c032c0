"""Shared by neural scorers: a model run on batches of similar length, long text in overlapping windows.

texts -> tokens -> windows of at most max_length tokens -> sorted by length -> batches of batch_tokens
      -> logits [windows, labels] -> a score per window -> the maximum over the windows of each text
"""

import hashlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import torch

from phf.errors import ConfigError, ScorerError
from phf.scorers.base import SegmentScorer
from phf.storage.files import file_sha256
from phf.storage.loading_errors import UNREADABLE, first_sentence
from phf.storage.reading import without_surrogates

OVERLAP = 8
"""Neighbouring windows share 1/OVERLAP of their tokens, so that what is cut at one border is complete in the next window."""
CHUNK_CHARS = 4_000_000
"""Texts tokenised and sorted at once: many batches, little memory."""
ACCELERATORS = ("cuda", "mps", "xpu")
"""Kinds of device that a machine may lack altogether."""
BATCH_TOKENS = {"cuda": 8_192, "cpu": 1_024}
"""On a GPU: enough to keep it busy, and few enough that windows in one batch have similar lengths."""
CUDA_BATCH_CHARS = 1_000_000
"""A GPU's batches hold many texts, so many more must be sorted: with 200,000 characters a quarter would be padding."""
SHORTEST_WINDOW = 16
NO_LIMIT = 10**9
"""Tokenizers without a maximum input length give about 10**30."""


class SequenceClassifierScorer(SegmentScorer, ABC):
    """Base of the scorers that are a transformer with a classification head.

    Text longer than `max_length` tokens is scored in windows that overlap by an eighth, and its score is the maximum
    over them: as bad as its worst part. Nothing is cut off. Unscored: empty text, and text whose score is not finite.

    Args:
        device: "cpu", "cuda", "cuda:1", ...; None: cuda if there is one. bfloat16 on CUDA, float32 elsewhere.
        batch_tokens: tokens in a batch, including padding; None: 8,192 on CUDA, 1,024 elsewhere. Lower it if
            memory runs out; it does not change scores beyond rounding.
        max_length: tokens in a window, including special tokens; None: as many as the model takes.
    """

    working_settings = frozenset({"device", "batch_tokens"})

    def __init__(self, device: str | None, batch_tokens: int | None, max_length: int | None) -> None:
        super().__init__()
        self.device = usable_device(device)
        self._dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.precision = f"{str(self._dtype).removeprefix('torch.')} on {self.device.type}"
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigError(f"{self.name}: batch_tokens is {batch_tokens}; it must be positive.")
        if self.device.type == "cuda":
            self.batch_chars = CUDA_BATCH_CHARS
        self.batch_tokens = batch_tokens or BATCH_TOKENS.get(self.device.type, BATCH_TOKENS["cpu"])
        if max_length is not None and max_length < SHORTEST_WINDOW:
            raise ConfigError(f"{self.name}: max_length is {max_length}; it must be at least {SHORTEST_WINDOW} tokens.")
        self._max_length = max_length
        self._loaded: tuple[Any, Any, int] | None = None
        self._own_pad_id: int | None = None
        """The model's padding token, if it has one."""

    @abstractmethod
    def load(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """Model and tokenizer; called once, when the first text is scored."""

    @abstractmethod
    def window_scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [windows, labels], float32 -> misalignment scores [windows]."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text, in order; see the class for what is unscored."""
        scores: list[float | None] = [None] * len(texts)
        present = [index for index, text in enumerate(texts) if text]
        if len(present) < len(texts):
            self.unscored["empty text"] += len(texts) - len(present)
        for chunk in _chunks(present, texts):
            for index, score in zip(chunk, self._chunk_scores([texts[i] for i in chunk]).tolist(), strict=True):
                scores[index] = score
        for index in present:
            score = scores[index]
            if score is None or not math.isfinite(score):
                self.unscored["score is not finite"] += 1
                scores[index] = None
        return scores

    def _chunk_scores(self, texts: list[str]) -> torch.Tensor:
        """Maximum over the windows of each of some non-empty texts; float32, NaN where one of them is NaN."""
        model, tokenizer, max_length = self._ready()
        windows = _windows(tokenizer, texts, max_length)
        owners = torch.tensor(windows.pop("overflow_to_sample_mapping"))
        lengths = [len(ids) for ids in windows["input_ids"]]
        order = sorted(
            range(len(lengths)), key=lengths.__getitem__, reverse=True
        )  # what needs the most memory comes first
        order = [index for index in order if lengths[index]]  # a model that adds no special tokens has no token for " "
        scores = torch.full((len(lengths),), torch.nan)
        pending, usable = [], []  # does not wait for a batch to finish: the GPU gets the next ones in the meantime
        for batch in _batches(order, lengths, self.batch_tokens):
            inputs = padded(windows, batch, self._pad_id(model, windows, batch), looks_at_the_end(model))
            logits = self._forward(model, inputs)
            usable.append(~logits.isnan().any())
            pending.append(self.window_scores(logits))
        if pending:
            if not torch.stack(usable).all():
                raise ScorerError(
                    f"{self.name}: the model's outputs are NaN: its weights are not finite, or its numbers overflow in "
                    f"{next(model.parameters()).dtype}. Use another model, or the CPU, where it runs in float32."
                )
            scores[torch.tensor(order)] = torch.cat(pending).cpu()
        return torch.full((len(texts),), -torch.inf).scatter_reduce(0, owners, scores, "amax")

    @torch.inference_mode()
    def _forward(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        try:
            on_device = {key: value.to(self.device, non_blocking=True) for key, value in inputs.items()}
            return model(**on_device).logits.float()
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{self.name}: {self.device} ran out of memory on {inputs['input_ids'].numel():,} tokens. "
                f"Lower batch_tokens (now {self.batch_tokens:,})."
            ) from error
        except UNREADABLE as error:
            raise ConfigError(
                f"{self.name}: the model cannot be run: {first_sentence(error)} Its config.json or its tokenizer does not fit "
                "its weights. Restore them, or choose another model."
            ) from error

    def _pad_id(self, model: Any, windows: dict[str, list[Any]], batch: list[int]) -> int:
        """The token that fills up the rows of a batch. It is masked out, but decoders use it to find the last token.

        So if a model has none of its own, it must be a token that no window ends with; the end-of-text token, which
        is often used, would hide the one that a tokenizer, or the text itself, ends with.
        """
        if self._own_pad_id is not None and self._own_pad_id >= 0:
            return self._own_pad_id
        ends = {windows["input_ids"][index][-1] for index in batch}
        free = next(token for token in count() if token not in ends)
        model.config.get_text_config().pad_token_id = free
        return free

    def _ready(self) -> tuple[Any, Any, int]:
        """Model, tokenizer and tokens in a window. Loaded lazily: most scorers that are built are only described."""
        if self._loaded is None:
            model, tokenizer = self.load(self._dtype)
            if not tokenizer.is_fast:
                raise ConfigError(
                    f"{self.name}: {type(tokenizer).__name__} cannot cut windows; a fast tokenizer is needed."
                )
            self._own_pad_id = getattr(model.config.get_text_config(), "pad_token_id", None)
            limit = longest_input(model, tokenizer)
            if self._max_length is not None and self._max_length > limit:
                raise ConfigError(f"{self.name}: max_length is {self._max_length}, but the model takes {limit} tokens.")
            model = model.to(self.device, self._dtype).eval()
            self._loaded = model, tokenizer, self._max_length or limit
        return self._loaded


def usable_device(device: str | None) -> torch.device:
    """The device of that name; None: cuda if there is one, otherwise cpu.

    On a machine without any accelerator of that kind it is the CPU, with a warning: files that were written for a GPU work
    there too. Raises `ConfigError` for a name that torch does not know, or a GPU that this machine lacks among others.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type in ACCELERATORS and not torch.get_device_module(chosen.type).is_available():
            warnings.warn(
                f"The scorer's device is {device!r}, but there is no {chosen.type} device here: it runs on the CPU.",
                stacklevel=2,
            )
            return torch.device("cpu")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"The device {device!r} cannot be used: {reason} Leave device out to use what is available."
        ) from error
    return chosen


def longest_input(model: Any, tokenizer: Any, otherwise: int = 512) -> int:
    """Maximum number of tokens of the model's input, including special tokens; `otherwise` where nothing limits it."""
    config = model.config.get_text_config(decoder=True)  # of a model that sees or hears too, a part of its own
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)  # RoBERTa counts positions from there
    # a model without positions of its own gives -1 (XLNet), and its tokenizer a limit that is never reached
    return int(min([limit for limit in limits if limit is not None and 1 <= limit < NO_LIMIT], default=otherwise))


@lru_cache
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """Hash of a file in its current state: a scorer is built several times in a run, its weights are read only once."""
    return file_sha256(path)


def checkpoint_hash(paths: list[Path]) -> str:
    """Eight hexadecimal digits that identify the content of some files; of one file, the start of its SHA-256."""
    hashes = [_sha256(path, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths)]
    if len(hashes) == 1:
        return hashes[0][:8]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:8]


def _chunks(indices: list[int], texts: list[str]) -> Iterator[list[int]]:
    """`indices` in order, in lists of about CHUNK_CHARS characters."""
    chunk: list[int] = []
    num_chars = 0
    for index in indices:
        chunk.append(index)
        num_chars += len(texts[index])
        if num_chars >= CHUNK_CHARS:
            yield chunk
            chunk, num_chars = [], 0
    if chunk:
        yield chunk


def _windows(tokenizer: Any, texts: list[str], max_length: int) -> dict[str, list[Any]]:
    """Token ids of all windows of all texts, and the text each belongs to.

    Token types that are all 0 are left out: BERT assumes them, GPT-2 would add the embedding of token 0.
    """
    windows = dict(
        tokenizer(
            [without_surrogates(text) for text in texts],
            truncation=True,
            max_length=max_length,
            stride=max_length // OVERLAP,
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )
    )
    if not any(map(any, windows.get("token_type_ids", ()))):
        windows.pop("token_type_ids", None)
    return windows


def _batches(order: list[int], lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """`order`, longest window first, in batches whose padded size is at most `batch_tokens`, or of one window."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def looks_at_the_end(model: Any) -> bool:
    """Whether the head reads the last position of a row, whether or not it is padding (XLNet)."""
    return getattr(model.config, "summary_type", None) == "last"


def padded(windows: dict[str, list[Any]], batch: list[int], pad_id: int, on_left: bool) -> dict[str, torch.Tensor]:
    """The model's inputs for the windows of one batch: each [len(batch), longest]."""
    lengths = torch.tensor([len(windows["input_ids"][index]) for index in batch])
    width = int(lengths.max())
    inputs = {}
    for key, rows in windows.items():
        fill = pad_id if key == "input_ids" else 0
        inputs[key] = torch.tensor([rows[index] + [fill] * (width - len(rows[index])) for index in batch])
    inputs["attention_mask"] = (torch.arange(width) < lengths[:, None]).long()
    if on_left:
        places = (torch.arange(width) + lengths[:, None]) % width
        inputs = {key: rows.gather(1, places) for key, rows in inputs.items()}
    return inputs
