"""The index of a view: runs of consecutive segments and where their tokens are, computed from a store in one pass."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phf.tokens.layout import (
    Segments,
    dropout_hash,
    dropout_words,
    layout_of,
    opens_document,
    scores_of_preferences,
)
from phf.tokens.selection import Selection, check_altered, largest_sampled
from phf.tokens.store import TokenStore
from phf.tokens.view_settings import ViewCounts, ViewSettings

RUN_SEGMENTS = 128
"""Segments of a document that are found together. What a block needs of a long document is found without reading all of it."""
CHUNK_SEGMENTS = 2**18
"""Worked on together: their arrays fit into the cache of a processor."""


@dataclass(frozen=True)
class Runs:
    """Consecutive segments of a document each, at most `RUN_SEGMENTS`; all arrays are [runs] or [preferences, runs]."""

    first_segments: np.ndarray
    """int64, number of the first segment in the store."""
    num_segments: np.ndarray
    """int64"""
    first_indices: np.ndarray
    """int64, of the first segment in its document."""
    text_starts: np.ndarray
    """int64, position of the first text token in the store."""
    ends: np.ndarray
    """int64, tokens of the view up to the end of each run."""
    documents: np.ndarray
    """int64, number of the document in the store."""
    has_opening: np.ndarray
    """bool, whether what opens the document is in the run: whether its first token is."""
    levels_before: np.ndarray | None
    """int8 [preferences, runs], the level in force before each; None where the placement does not depend on it."""


@dataclass(frozen=True)
class Index:
    """Where the tokens of a view are."""

    runs: Runs
    counts: ViewCounts
    dropout_hashes: np.ndarray | None
    """uint64 [documents of the store]; None where no control tokens are dropped."""


def index_of(store: TokenStore, settings: ViewSettings) -> Index:
    """One pass over lengths and scores. Raises `ConfigError` where the tokenizer changes too many of the documents."""
    counts = ViewCounts(num_tagged_segments=[0] * len(settings.control_ids))
    hashes = np.zeros(len(store.documents), np.uint64) if settings.method.drops_control_tokens else None
    sampled = largest_sampled((store.documents[chunk.documents] for chunk in _chunks(store)), settings)
    selection = Selection(settings, counts, largest_hash=sampled)
    parts = [_runs(chunk, store, settings, selection, hashes, counts) for chunk in _chunks(store)]
    columns = (np.concatenate([np.empty(0, np.int64), *arrays]) for arrays in zip(*parts, strict=True))
    first_segments, num_segments, first_indices, text_starts, widths, documents, opening, *levels = (
        columns if parts else (np.empty(0, np.int64) for _ in range(7))
    )
    runs = Runs(
        first_segments,
        num_segments,
        first_indices,
        text_starts,
        np.cumsum(widths),
        documents,
        opening.astype(bool),
        np.stack(levels).astype(np.int8) if levels else None,
    )
    num_seen = counts.num_documents + counts.num_documents_empty
    check_altered(counts.num_documents_altered, num_seen, settings.max_altered_documents, store.altered)
    return Index(runs, counts, hashes)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive documents of a store with their segments and tokens, each as a range of numbers."""

    documents: slice
    segments: slice
    first_token: int


def _chunks(store: TokenStore) -> Iterator[_Chunk]:
    documents = store.documents
    segment_ends = np.cumsum(documents["num_segments"], dtype=np.int64)
    token_ends = np.cumsum(documents["num_tokens"], dtype=np.int64)
    first = first_segment = first_token = 0
    while first < len(documents):
        stop = max(int(np.searchsorted(segment_ends, first_segment + CHUNK_SEGMENTS, side="right")), first + 1)
        yield _Chunk(slice(first, stop), slice(first_segment, int(segment_ends[stop - 1])), first_token)
        first, first_segment, first_token = stop, int(segment_ends[stop - 1]), int(token_ends[stop - 1])


def _runs(
    chunk: _Chunk,
    store: TokenStore,
    settings: ViewSettings,
    selection: Selection,
    hashes: np.ndarray | None,
    counts: ViewCounts,
) -> tuple[np.ndarray, ...]:
    documents = store.documents[chunk.documents]
    num_segments = documents["num_segments"].astype(np.int64)
    lengths = store.lengths[chunk.segments].astype(np.int64)
    scores = store.scores(settings.scores_column)[chunk.segments]
    owners = np.repeat(np.arange(len(documents)), num_segments)
    first_segments = np.cumsum(num_segments) - num_segments
    is_unscored = np.bincount(owners[np.isnan(scores)], minlength=len(documents)) > 0
    avg_scores = store.avg_scores(settings.scores_column)[chunk.documents]
    kept = selection.of(documents, avg_scores, is_unscored)
    if hashes is not None:
        numbers = chunk.documents.start + np.flatnonzero(kept)
        hashes[numbers] = [dropout_hash(settings.seed, name) for name in store.document_ids(numbers.tolist())]
    is_kept = kept[owners]
    numbers = np.flatnonzero(is_kept)
    text_starts = (chunk.first_token + np.cumsum(lengths) - lengths)[is_kept]
    owners, lengths, scores = owners[is_kept], lengths[is_kept], scores[is_kept]
    indices = numbers - first_segments[owners]
    words = None if hashes is None else dropout_words(hashes[chunk.documents][owners], indices)
    opens = opens_document(owners, lengths)
    preference_scores = scores_of_preferences(
        settings,
        opens,
        lambda column: store.scores(column)[chunk.segments][is_kept],
        lambda column: store.avg_scores(column)[chunk.documents][owners[opens]],
    )
    layout = layout_of(Segments(lengths, scores, opens, words, preference_scores), settings, counts)
    starts = np.flatnonzero(indices % RUN_SEGMENTS == 0)
    levels = [] if layout.levels_before is None else list(layout.levels_before[:, starts])
    if not len(starts):
        return tuple(np.empty(0, np.int64) for _ in range(7 + len(levels)))
    return (
        chunk.segments.start + numbers[starts],
        np.diff(starts, append=len(owners)),
        indices[starts],
        text_starts[starts],
        np.add.reduceat(layout.widths, starts),
        chunk.documents.start + owners[starts],
        np.logical_or.reduceat(opens, starts),
        *levels,
    )
