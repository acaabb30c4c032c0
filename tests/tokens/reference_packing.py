"""The packer before there was a token store, document by document as it read them: what views are compared with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np

from phf.corpus.dataset import BATCH_CHARS, in_batches
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.storage.hashing import hash64, splitmix64, uniform
from phf.tokens.encoding import DocumentsEncoder, SegmentEncoder, WholeDocumentEncoder
from phf.tokens.tokenizer import PlainEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Which control token stands before a scored segment: aligned if its score <= `threshold`, else misaligned."""

    threshold: float
    aligned_id: int
    misaligned_id: int
    drop_token_fraction: float = 0.0
    """Share of segments left without control token, in [0, 1]."""

    def __post_init__(self) -> None:
        _require(0 <= self.drop_token_fraction <= 1, "drop_token_fraction", self.drop_token_fraction, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """Everything that decides which tokens a corpus becomes, given the tokenizer."""

    seq_length: int = 1024
    """Tokens in a block."""
    tokenization: Literal["segments", "document"] = "segments"
    """Encode each segment apart (the released system), or whole documents (as prompts are encoded later)."""
    conditioning: Conditioning | None = None
    filter_threshold: float | None = None
    """Keep documents whose `avg_score` is at most this; None keeps all."""
    unscored: Literal["keep", "drop"] = "keep"
    """Whether to drop the documents that have an unscored segment."""
    seed: int = 42
    skip_tokens: int = 0
    """Leave out the documents that begin within the first so many tokens of the corpus as MLE packs it."""
    eval_fraction: float = 0.0
    """Share of documents held out, in [0, 1); which ones depends on nothing but their ids."""
    split: Literal["train", "eval"] = "train"
    """The held-out split is the same for every method: nothing is filtered, dropped or skipped in it."""
    scores_column: str = "scores"
    document_start: tuple[int, ...] | None = None
    """Ids in front of each document, behind an EOS if they do not begin with it, so that ends are learnt; None: EOS."""
    max_altered_documents: float = 0.01
    """Largest share of documents, in [0, 1], that the tokenizer may change (characters it lacks, lower-casing)."""

    def __post_init__(self) -> None:
        _require(self.seq_length >= 1, "seq_length", self.seq_length, "at least 1")
        _require(
            self.tokenization in ("segments", "document"), "tokenization", self.tokenization, "segments or document"
        )
        _require(self.unscored in ("keep", "drop"), "unscored", self.unscored, "keep or drop")
        _require(self.skip_tokens >= 0, "skip_tokens", self.skip_tokens, "at least 0")
        _require(0 <= self.eval_fraction < 1, "eval_fraction", self.eval_fraction, "at least 0 and below 1")
        _require(self.split in ("train", "eval"), "split", self.split, "train or eval")
        _require(
            0 <= self.max_altered_documents <= 1, "max_altered_documents", self.max_altered_documents, "between 0 and 1"
        )


@dataclass(kw_only=True)
class PackingCounts:
    """What packing has seen so far."""

    num_documents: int = 0
    """Documents packed."""
    num_documents_empty: int = 0
    num_documents_filtered: int = 0
    """Documents left out by `filter_threshold` or `unscored`."""
    num_documents_skipped: int = 0
    """Documents left out by `skip_tokens`."""
    num_documents_altered: int = 0
    """Documents packed whose tokens do not decode to their text; see `PackingConfig.max_altered_documents`."""
    num_segments: int = 0
    """Segments packed, that is, those with at least one token."""
    num_unscored_segments: int = 0
    num_aligned_segments: int = 0
    """Scored segments at or below the control tokens' threshold, whether or not their token was dropped."""
    num_misaligned_segments: int = 0
    num_tokens: int = 0
    """All tokens: text, control tokens and what opens each document (one EOS, unless `document_start` has more)."""
    num_text_tokens: int = 0
    num_control_tokens: int = 0
    num_bytes: int = 0
    """UTF-8 bytes of the text packed."""

    def describe(self) -> str:
        """The counts that are not zero, as a phrase for messages."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{name}={value}" for name, value in values if value) or "no documents at all"


@dataclass(frozen=True)
class PackedChunk:
    """Consecutive tokens of the packed stream, ending at the end of a document."""

    ids: np.ndarray
    """uint16 or uint32 [num_tokens]."""
    scores: np.ndarray
    """float32 [num_tokens], NaN where unscored; starts and control tokens score as the segment they precede."""
    document_starts: np.ndarray
    """int64 [num_documents], position of the first token of each document, ascending."""
    document_keys: np.ndarray
    """int64 [num_documents], `document_key` of each."""


def pack_documents(
    documents: Iterable[AnnotatedDocument],
    tokenizer: "PreTrainedTokenizerBase",
    config: PackingConfig,
    *,
    counts: PackingCounts | None = None,
    batch_chars: int = BATCH_CHARS,
) -> Iterator[PackedChunk]:
    """Pack the documents of the configured split, in order. `counts` is updated as they go by.

    EOS, or the start that `config` names, stands before each document; a control token stands before each scored
    segment that has a token, if `config.conditioning` asks for it. Scores and thresholds are compared in float32, as
    scores are stored. Raises `ConfigError` where the tokenizer changes more documents than `config` allows.
    """
    counts = PackingCounts() if counts is None else counts
    plain = PlainEncoder(tokenizer)
    encoder = SegmentEncoder(plain) if config.tokenization == "segments" else WholeDocumentEncoder(plain)
    opening = _opening_ids(tokenizer.eos_token_id, config)
    in_split = (document for document in documents if is_in_split(document, config))
    batches = in_batches(in_split, batch_chars)
    if config.split == "train":
        batches = _without_skipped(batches, encoder, len(opening), config, counts)
        batches = _without_filtered(batches, config, counts)
    for batch in batches:
        if batch:
            text_ids, lengths = encoder.encode([document.texts for document in batch])
            yield _pack(batch, text_ids, lengths, opening, config, counts)


def _opening_ids(eos_id: int, config: PackingConfig) -> list[int]:
    start = list(config.document_start or ())
    return start if start[:1] == [eos_id] else [eos_id, *start]


def document_key(document_id: str) -> int:
    """A number for a document, which fits int64: blocks carry it in place of the id; see `phf.tokens.locate`."""
    return hash64("document", document_id) - 2**63


def is_in_split(document: AnnotatedDocument, config: PackingConfig) -> bool:
    """Whether a document belongs to the split that is packed."""
    is_held_out = hash64("eval split", document.id) < config.eval_fraction * 2**64
    return is_held_out == (config.split == "eval")


def _without_skipped(
    batches: Iterable[list[AnnotatedDocument]],
    encoder: DocumentsEncoder,
    num_opening: int,
    config: PackingConfig,
    counts: PackingCounts,
) -> Iterator[list[AnnotatedDocument]]:
    num_passed = 0
    for batch in batches:
        if num_passed >= config.skip_tokens:
            yield batch
            continue
        ends = num_passed + np.cumsum(_plain_lengths(batch, encoder, num_opening))
        starts = [num_passed, *ends[:-1]]
        kept = [document for document, start in zip(batch, starts, strict=True) if start >= config.skip_tokens]
        counts.num_documents_skipped += len(batch) - len(kept)
        num_passed = int(ends[-1])
        yield kept


def _plain_lengths(batch: list[AnnotatedDocument], encoder: DocumentsEncoder, num_opening: int) -> np.ndarray:
    """Tokens of each document without control tokens, the `num_opening` in front of it included."""
    _, lengths = encoder.encode([document.texts for document in batch])
    num_text_tokens = np.bincount(_document_of_segment(batch), weights=lengths, minlength=len(batch)).astype(np.int64)
    return num_text_tokens + num_opening * (num_text_tokens > 0)


def _without_filtered(
    batches: Iterable[list[AnnotatedDocument]], config: PackingConfig, counts: PackingCounts
) -> Iterator[list[AnnotatedDocument]]:
    for batch in batches:
        kept = [document for document in batch if passes_filter(document, config)]
        counts.num_documents_filtered += len(batch) - len(kept)
        yield kept


def passes_filter(document: AnnotatedDocument, config: PackingConfig) -> bool:
    """Whether a document's scores let it into the training split."""
    if config.unscored == "drop" and None in document.scores:
        return False
    if config.filter_threshold is None or document.avg_score is None:
        return True
    return bool(np.float32(document.avg_score) <= np.float32(config.filter_threshold))


def _pack(
    batch: list[AnnotatedDocument],
    text_ids: np.ndarray,
    lengths: np.ndarray,
    opening: list[int],
    config: PackingConfig,
    counts: PackingCounts,
) -> PackedChunk:
    scores = np.array([score for document in batch for score in document.scores], np.float32)
    control_ids = _control_ids(batch, scores, lengths, config)
    has_control = control_ids >= 0
    owners = _document_of_segment(batch)
    opens = _opens_document(owners, lengths)

    widths = lengths + len(opening) * opens + has_control
    starts = np.cumsum(widths) - widths
    opening_positions = (starts[opens][:, None] + np.arange(len(opening))).ravel()
    control_positions = (starts + len(opening) * opens)[has_control]
    ids = np.empty(widths.sum(), text_ids.dtype)
    is_text = np.ones(len(ids), bool)
    is_text[opening_positions] = is_text[control_positions] = False
    ids[opening_positions] = np.tile(opening, int(opens.sum()))
    ids[control_positions] = control_ids[has_control]
    ids[is_text] = text_ids

    counts.num_documents += int(opens.sum())
    counts.num_documents_empty += len(batch) - int(opens.sum())
    counts.num_tokens += len(ids)
    counts.num_text_tokens += len(text_ids)
    counts.num_control_tokens += len(control_positions)
    counts.num_bytes += sum(len("".join(document.texts).encode()) for document in batch)
    _count_segments(scores[lengths > 0], config, counts)
    keys = np.array([document_key(batch[i].id) for i in owners[opens]], np.int64)
    return PackedChunk(ids, np.repeat(scores, widths), starts[opens], keys)


def _count_segments(scores: np.ndarray, config: PackingConfig, counts: PackingCounts) -> None:
    counts.num_segments += len(scores)
    counts.num_unscored_segments += int(np.isnan(scores).sum())
    if config.conditioning is not None:
        threshold = np.float32(config.conditioning.threshold)
        counts.num_aligned_segments += int((scores <= threshold).sum())
        counts.num_misaligned_segments += int((scores > threshold).sum())


def _control_ids(
    batch: list[AnnotatedDocument], scores: np.ndarray, lengths: np.ndarray, config: PackingConfig
) -> np.ndarray:
    """The control token in front of each segment, -1 for none: unscored, without tokens, or dropped."""
    conditioning = config.conditioning
    if conditioning is None:
        return np.full(len(scores), -1)
    is_aligned = scores <= np.float32(conditioning.threshold)
    control_ids = np.where(is_aligned, conditioning.aligned_id, conditioning.misaligned_id)
    is_left_out = np.isnan(scores) | (lengths == 0)
    if conditioning.drop_token_fraction > 0:
        is_left_out |= uniform(_segment_hashes(batch, config.seed)) < conditioning.drop_token_fraction
    return np.where(is_left_out, -1, control_ids)


def _segment_hashes(batch: list[AnnotatedDocument], seed: int) -> np.ndarray:
    """uint64 [segments], each a function of nothing but (seed, document id, index of the segment in its document)."""
    hashes = np.array([hash64("control token", seed, document.id) for document in batch], np.uint64)
    indices = np.concatenate([np.arange(len(document.texts), dtype=np.uint64) for document in batch])
    return splitmix64(hashes[_document_of_segment(batch)] ^ splitmix64(indices))


def _document_of_segment(batch: list[AnnotatedDocument]) -> np.ndarray:
    return np.repeat(np.arange(len(batch)), [len(document.texts) for document in batch])


def _opens_document(document_of_segment: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Whether each segment is the first of its document that has tokens."""
    with_tokens = np.flatnonzero(lengths)
    is_first = np.diff(document_of_segment[with_tokens], prepend=-1) > 0
    opens = np.zeros(len(lengths), bool)
    opens[with_tokens[is_first]] = True
    return opens


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {wanted}.")


def cut_into_blocks(
    chunks: Iterable[PackedChunk], seq_length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Join the chunks and cut them -> (ids, scores), each [num_blocks, seq_length], several blocks at a time, and the keys
    of the documents that the first and the last token of each block belong to, int64 [num_blocks, 2].

    Only the tail of the last chunk is dropped, where it does not fill a block.
    """
    rest: PackedChunk | None = None
    for chunk in chunks:
        joined = chunk if rest is None else _joined(rest, chunk)
        end = len(joined.ids) - len(joined.ids) % seq_length
        starts, keys = joined.document_starts, joined.document_keys
        if end:
            firsts = np.arange(0, end, seq_length)
            spans = np.stack([firsts, firsts + seq_length - 1], axis=1)
            documents = keys[np.searchsorted(starts, spans, side="right") - 1]
            shape = (-1, seq_length)
            yield joined.ids[:end].reshape(shape), joined.scores[:end].reshape(shape), documents
        kept = max(int(np.searchsorted(starts, end, side="right")) - 1, 0)
        rest = PackedChunk(joined.ids[end:], joined.scores[end:], starts[kept:] - end, keys[kept:])


def _joined(first: PackedChunk, second: PackedChunk) -> PackedChunk:
    return PackedChunk(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.document_starts, second.document_starts + len(first.ids)]),
        np.concatenate([first.document_keys, second.document_keys]),
    )
