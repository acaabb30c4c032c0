"""Encoded documents as one stream of tokens, cut into blocks: the view of those who see each document once, in order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from phf.tokens.encoded import Altered, EncodedDocuments
from phf.tokens.layout import (
    Segments,
    dropout_hash,
    dropout_words,
    lay_out,
    layout_of,
    opens_document,
    scores_of_preferences,
)
from phf.tokens.selection import ENOUGH_DOCUMENTS, Selection, check_altered
from phf.tokens.view_settings import ViewCounts, ViewSettings


@dataclass(frozen=True)
class PackedChunk:
    """Consecutive tokens of the stream, ending at the end of a document."""

    ids: np.ndarray
    """uint32 [num_tokens]."""
    scores: np.ndarray
    """float32 [num_tokens], NaN where unscored; starts and control tokens score as the segment that they belong to."""
    document_starts: np.ndarray
    """int64 [num_documents], position of the first token of each document, ascending."""
    document_keys: np.ndarray
    """int64 [num_documents], `document_key` of each."""
    segment_starts: np.ndarray
    """int64 [num_segments], position of the first token of each segment that has text, ascending: of what precedes it."""


@dataclass(frozen=True)
class PackingState:
    """What packing the next documents needs to know about those before them."""

    num_tokens: int = 0
    """Tokens of the view so far."""
    num_passed: int = 0
    """See `Selection.num_passed`."""
    num_documents: int = 0
    """Documents of the view so far, empty ones included."""
    num_altered: int = 0
    example: Altered | None = None
    """The first document that the tokenizer changes."""


class Packer:
    """Packs the documents of a corpus, piece after piece, from its start or from a state on. `counts` is updated.

    Raises `ConfigError` where the tokenizer changes more documents than `settings` allow.
    """

    def __init__(
        self, settings: ViewSettings, counts: ViewCounts | None = None, state: PackingState = PackingState()
    ) -> None:
        self._settings = settings
        self._counts = ViewCounts() if counts is None else counts
        self._counts.num_tagged_segments = [0] * len(settings.control_ids)
        self._before = state
        self._example = state.example
        self._selection = Selection(settings, self._counts, state.num_passed)

    @property
    def state(self) -> PackingState:
        """After what has been packed."""
        before, counts = self._before, self._counts
        return PackingState(
            before.num_tokens + counts.num_tokens,
            self._selection.num_passed,
            before.num_documents + counts.num_documents + counts.num_documents_empty,
            before.num_altered + counts.num_documents_altered,
            self._example,
        )

    def pack(self, piece: EncodedDocuments) -> PackedChunk:
        """The tokens of the configured split."""
        if self._example is None:
            self._example = next(iter(piece.altered), None)
        chunk = _packed(piece, self._settings, self._selection, self._counts)
        if self.state.num_documents >= ENOUGH_DOCUMENTS:
            self.check_altered()
        return chunk

    def check_altered(self) -> None:
        """Raise if the tokenizer has changed too many of the documents so far."""
        state = self.state
        examples = [] if state.example is None else [state.example]
        check_altered(state.num_altered, state.num_documents, self._settings.max_altered_documents, examples)


def pack(
    encoded: Iterable[EncodedDocuments], settings: ViewSettings, counts: ViewCounts | None = None
) -> Iterator[PackedChunk]:
    """The tokens of the configured split, piece after piece. `counts` is updated as they go by; see `Packer`."""
    packer = Packer(settings, counts)
    yield from map(packer.pack, encoded)
    packer.check_altered()


def _packed(piece: EncodedDocuments, settings: ViewSettings, selection: Selection, counts: ViewCounts) -> PackedChunk:
    documents = piece.documents
    num_segments = documents["num_segments"].astype(np.int64)
    owners = np.repeat(np.arange(len(documents)), num_segments)
    is_unscored = np.bincount(owners[np.isnan(piece.scores)], minlength=len(documents)) > 0
    kept = selection.of(documents, piece.avg_scores, is_unscored)
    is_kept = kept[owners]
    text_ids = piece.ids[np.repeat(kept, documents["num_tokens"])]
    words = None
    if settings.method.drops_control_tokens:
        names = _names(piece)
        hashes = np.array([dropout_hash(settings.seed, name) for name in names], np.uint64)
        indices = np.arange(len(owners)) - (np.cumsum(num_segments) - num_segments)[owners]
        words = dropout_words(hashes[owners], indices)[is_kept]
    owners, lengths, scores = owners[is_kept], piece.lengths[is_kept].astype(np.int64), piece.scores[is_kept]
    opens = opens_document(owners, lengths)
    preference_scores = scores_of_preferences(
        settings,
        opens,
        lambda column: piece.scores_of(column, settings.scores_column)[is_kept],
        lambda column: piece.averages_of(column, settings.scores_column)[owners[opens]],
    )
    segments = Segments(lengths, scores, opens, words, preference_scores)
    layout = layout_of(segments, settings, counts)
    tags, widths = layout.tags, layout.widths
    starts = np.cumsum(widths) - widths
    return PackedChunk(
        lay_out(text_ids, segments, tags, widths, settings).astype(np.uint32),
        np.repeat(scores, widths),
        starts[opens],
        documents["key"][owners[opens]],
        starts[widths > 0],
    )


def _names(piece: EncodedDocuments) -> list[str]:
    ends = np.cumsum(piece.documents["id_bytes"], dtype=np.int64)
    starts = ends - piece.documents["id_bytes"]
    return [
        piece.document_ids[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def cut_into_blocks(
    chunks: Iterable[PackedChunk], seq_length: int, num_skipped: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]]:
    """Join the chunks and cut them, several blocks at a time, -> (ids, scores), each [num_blocks, seq_length]; the keys of
    the documents that the first and the last token of each block belong to, int64 [num_blocks, 2]; for each block
    the positions of the first tokens of its documents, int64, counted from its start and negative for the document that
    continues from the block before; and those of the first tokens of its segments, without one that continues.

    Only the tail of the last chunk is dropped, where it does not fill a block, and the first `num_skipped` tokens, which
    are of the first chunk that has tokens.
    """
    rest: PackedChunk | None = None
    for chunk in chunks:
        if num_skipped and len(chunk.ids):
            chunk, num_skipped = _from(chunk, num_skipped), 0
        joined = chunk if rest is None else _joined(rest, chunk)
        end = len(joined.ids) - len(joined.ids) % seq_length
        starts, keys = joined.document_starts, joined.document_keys
        if end:
            firsts = np.arange(0, end, seq_length)
            spans = np.stack([firsts, firsts + seq_length - 1], axis=1)
            owners = np.searchsorted(starts, spans, side="right") - 1
            shape = (-1, seq_length)
            of_blocks = [
                starts[low : high + 1] - first for first, (low, high) in zip(firsts, owners.tolist(), strict=True)
            ]
            ids, scores = joined.ids[:end].reshape(shape), joined.scores[:end].reshape(shape)
            segments = joined.segment_starts
            bounds = np.searchsorted(segments, [*firsts.tolist(), end]).tolist()
            segments_of_blocks = [
                segments[low:high] - first for first, (low, high) in zip(firsts, pairwise(bounds), strict=True)
            ]
            yield ids, scores, keys[owners], of_blocks, segments_of_blocks
        rest = _from(joined, end)


def _from(chunk: PackedChunk, position: int) -> PackedChunk:
    """What follows the first tokens of a chunk; the document that continues there starts at a negative position."""
    first = max(int(np.searchsorted(chunk.document_starts, position, side="right")) - 1, 0)
    starts, keys = chunk.document_starts[first:] - position, chunk.document_keys[first:]
    segments = chunk.segment_starts[np.searchsorted(chunk.segment_starts, position) :] - position
    return PackedChunk(chunk.ids[position:], chunk.scores[position:], starts, keys, segments)


def _joined(first: PackedChunk, second: PackedChunk) -> PackedChunk:
    return PackedChunk(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.document_starts, second.document_starts + len(first.ids)]),
        np.concatenate([first.document_keys, second.document_keys]),
        np.concatenate([first.segment_starts, second.segment_starts + len(first.ids)]),
    )
