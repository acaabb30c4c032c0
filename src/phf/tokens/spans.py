"""The tokens between two places of a view, assembled from a store."""

from dataclasses import dataclass

import numpy as np

from phf.tokens.encoding import ranges
from phf.tokens.layout import (
    Segments,
    dropout_words,
    lay_out,
    layout_of,
    opens_document,
    scores_of_preferences,
)
from phf.tokens.store import TokenStore
from phf.tokens.view_index import Index
from phf.tokens.view_settings import ViewSettings


@dataclass(frozen=True)
class Tokens:
    """Consecutive tokens of a view; all arrays are [tokens]."""

    ids: np.ndarray
    """int64"""
    scores: np.ndarray
    """float32, NaN where unscored; what opens a document and control tokens score as the segment that they belong to."""
    segments: np.ndarray
    """int64, number of the segment in the store that each belongs to."""
    documents: np.ndarray
    """int64, number of the document in the store."""


@dataclass(slots=True)
class Span:
    """The segments that overlap a range of tokens of a view."""

    ids: np.ndarray
    """int64 [tokens of these segments]"""
    scores: np.ndarray
    """float32 [segments]"""
    widths: np.ndarray
    """int64 [segments]"""
    numbers: np.ndarray
    """int64 [segments], in the store."""
    runs: np.ndarray
    """int64 [segments], in the index."""
    opens: np.ndarray
    """bool [segments], whether each begins with what opens its document."""
    start: int
    """Place of the first token in the view."""

    def cut(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """-> (ids int64, scores float32) of the tokens from `start` to `stop`."""
        return self.ids[start - self.start : stop - self.start], self.repeated(self.scores, start, stop)

    def document_starts(self, num_closing: int) -> np.ndarray:
        """Places in the view where documents begin, after the `num_closing` tokens that end the one before."""
        return (self.start + np.cumsum(self.widths) - self.widths)[self.opens] + num_closing

    def segment_starts(self) -> np.ndarray:
        """Places in the view where segments that have tokens begin, with what precedes their text."""
        return (self.start + np.cumsum(self.widths) - self.widths)[self.widths > 0]

    def repeated(self, values: np.ndarray, start: int, stop: int) -> np.ndarray:
        """What is known of each segment, for each token from `start` to `stop`."""
        return np.repeat(values, self.widths)[start - self.start : stop - self.start]


def span_between(start: int, stop: int, store: TokenStore, index: Index, settings: ViewSettings) -> Span:
    """The segments with the tokens from `start` to `stop` of the view that `index` is of."""
    runs = index.runs
    first, last = int(runs.ends.searchsorted(start, "right")), int(runs.ends.searchsorted(stop - 1, "right"))
    chosen = slice(first, last + 1)
    first_segments, sizes = runs.first_segments[chosen], runs.num_segments[chosen]
    num_segments = int(sizes.sum())
    owners = np.repeat(np.arange(len(sizes)), sizes)
    first_segment = int(first_segments[0])
    are_neighbours = int(first_segments[-1] + sizes[-1]) - first_segment == num_segments
    numbers = (
        np.arange(first_segment, first_segment + num_segments) if are_neighbours else ranges(first_segments, sizes)
    )
    taken = slice(first_segment, first_segment + num_segments) if are_neighbours else numbers
    lengths = store.lengths[taken].astype(np.int64)
    scores = store.scores(settings.scores_column)[taken]
    words = None
    if index.dropout_hashes is not None:
        indices = numbers + (runs.first_indices[chosen] - first_segments)[owners]
        words = dropout_words(index.dropout_hashes[runs.documents[chosen]][owners], indices)
    opens = opens_document(owners, lengths) & runs.has_opening[chosen][owners]
    preference_scores = scores_of_preferences(
        settings,
        opens,
        lambda column: scores if column == settings.scores_column else store.scores(column)[taken],
        lambda column: store.avg_scores(column)[runs.documents[chosen][owners[opens]]],
    )
    levels_before = None if runs.levels_before is None else runs.levels_before[:, first]
    layout = layout_of(Segments(lengths, scores, opens, words, preference_scores, levels_before), settings)
    tags, widths = layout.tags, layout.widths
    ends = (int(runs.ends[first - 1]) if first else 0) + np.cumsum(widths)
    inside = slice(int(ends.searchsorted(start, "right")), int(ends.searchsorted(stop - 1, "right")) + 1)
    if are_neighbours:
        text_start = int(runs.text_starts[first] + lengths[: inside.start].sum())
        text_ids = store.ids[text_start : text_start + int(lengths[inside].sum())]
    else:
        before = np.cumsum(lengths) - lengths
        text_starts = before + (runs.text_starts[chosen] - before[np.cumsum(sizes) - sizes])[owners]
        text_ids = store.ids[ranges(text_starts[inside], lengths[inside])]
    segments = Segments(lengths[inside], scores[inside], opens[inside], None, ())
    widths = widths[inside]
    ids = lay_out(text_ids, segments, tags[:, inside], widths, settings)
    start = int(ends[inside.start] - widths[0])
    return Span(ids, scores[inside], widths, numbers[inside], first + owners[inside], opens[inside], start)


def tokens_between(start: int, stop: int, store: TokenStore, index: Index, settings: ViewSettings) -> Tokens:
    """The tokens from `start` to `stop` of a view, with the segment and the document of each."""
    span = span_between(start, stop, store, index, settings)
    documents = index.runs.documents[span.runs]
    return Tokens(
        *span.cut(start, stop), span.repeated(span.numbers, start, stop), span.repeated(documents, start, stop)
    )
