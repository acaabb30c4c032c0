"""What precedes or follows the segments of documents, and how their tokens are laid out from it: one way for every view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from phf.config import Placement
from phf.feedback.hiding import hidden_numbers
from phf.feedback.placement import at_openings, changes, levels_before
from phf.storage.hashing import hash64, splitmix64, uniform
from phf.tokens.view_settings import ViewCounts, ViewSettings

NO_CONTROL = -1
BEYOND_SEGMENT: tuple[Placement, ...] = ("on_change", "before_document")
"""Placements whose control tokens say something about segments after the one that they precede, too."""


@dataclass(frozen=True)
class Segments:
    """Consecutive segments of the documents of a view, as they are stored."""

    lengths: np.ndarray
    """int64 [segments], text tokens of each."""
    scores: np.ndarray
    """float32 [segments], NaN where unscored."""
    opens: np.ndarray
    """bool [segments], whether each is the first of its document that has tokens."""
    words: np.ndarray | None
    """uint64 [segments], `dropout_words` of each; None where no control token is dropped."""
    preference_scores: Sequence[np.ndarray]
    """float32 [segments] for each preference of the method, NaN where unscored; see `scores_of_preferences`."""
    levels_before: np.ndarray | None = None
    """int8 [preferences], the level in force before the first of the segments; None: that begins a document."""


@dataclass(frozen=True)
class Layout:
    """What becomes of segments."""

    tags: np.ndarray
    """int8 [preferences, segments]: which control token each gets, -1 for none."""
    widths: np.ndarray
    """int64 [segments]: tokens of each, with what precedes and follows its text."""
    levels_before: np.ndarray | None
    """int8 [preferences, segments], the level in force before each; None where the placement does not depend on it."""


def scores_of_preferences(
    settings: ViewSettings,
    opens: np.ndarray,
    of_segments: Callable[[str], np.ndarray],
    of_documents: Callable[[str], np.ndarray],
) -> list[np.ndarray]:
    """What each preference of the method looks at: float32 [segments], NaN where there is no score.

    Args:
        opens: see `Segments`.
        of_segments: column -> float32 [segments].
        of_documents: column -> float32 [documents that `opens` marks], their average scores.
    """
    if settings.method.placement == "before_document":
        return [at_openings(opens, of_documents(column)) for column in settings.columns]
    return [of_segments(column) for column in settings.columns]


def dropout_hash(seed: int, document_id: str) -> int:
    """What the dropping of control tokens in a document depends on, besides the index of the segment."""
    return hash64("control token", seed, document_id)


def tags_of(segments: Segments, settings: ViewSettings) -> np.ndarray:
    """int8 [preferences, segments]: which control token the method chooses for each, -1 for none and for segments without
    tokens."""
    preferences = settings.method.preferences
    tags = np.empty((len(preferences), len(segments.lengths)), np.int8)
    for row, preference, scores in zip(tags, preferences, segments.preference_scores, strict=True):
        row[:] = preference.tags(scores)
        row[segments.lengths == 0] = NO_CONTROL
    return tags


def dropout_words(document_hashes: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """uint64 [segments], from the `dropout_hash` of the document of each and its index in the document."""
    return splitmix64(document_hashes ^ splitmix64(indices.astype(np.uint64)))


def without_dropped(tags: np.ndarray, segments: Segments, settings: ViewSettings) -> np.ndarray:
    """The tags, -1 for those that are dropped: a function of (seed, document id, index of the segment, preference) alone."""
    if segments.words is None:
        return tags
    tags = tags.copy()
    for row, preference in zip(tags, settings.method.preferences, strict=True):
        words = segments.words
        if preference.name:
            words = splitmix64(words ^ np.uint64(hash64("preference", preference.name)))
        row[uniform(words) < preference.drop_token_fraction] = NO_CONTROL
    return tags


def layout_of(segments: Segments, settings: ViewSettings, counts: ViewCounts | None = None) -> Layout:
    """The control tokens of segments, as the method chooses, drops and places them. `counts` is updated by them."""
    tags = tags_of(segments, settings)
    if counts is not None:
        counts.add_segments(segments.lengths, segments.scores, tags)
    tags = without_dropped(tags, segments, settings)
    before = None
    if settings.method.placement == "on_change":
        before = levels_before(tags, segments.opens, segments.levels_before)
        tags = changes(tags, before)
    widths = segments.lengths + len(settings.opening) * segments.opens
    for row in tags:
        widths += row != NO_CONTROL
    if counts is not None:
        counts.num_control_tokens += int((tags != NO_CONTROL).sum())
        counts.num_tokens += int(widths.sum())
    return Layout(tags, widths, before)


def lay_out(
    text_ids: np.ndarray, segments: Segments, tags: np.ndarray, widths: np.ndarray, settings: ViewSettings
) -> np.ndarray:
    """int64 [widths.sum()]: all tokens of the segments. What begins a document precedes the control tokens, which are in the
    order of the preferences, before the text or after it."""
    opening = settings.opening
    starts = np.cumsum(widths) - widths
    ids = np.empty(int(widths.sum()), np.int64)
    is_text = np.ones(len(ids), bool)
    opening_starts = starts[segments.opens]
    for offset, token in enumerate(opening):
        ids[opening_starts + offset] = token
        is_text[opening_starts + offset] = False
    control_ids = np.array(settings.control_ids, np.int64)
    places = starts + len(opening) * segments.opens
    if settings.method.placement == "after_segment":
        places = places + segments.lengths
    for row in tags:
        has_control = row != NO_CONTROL
        taken = places[has_control]
        ids[taken] = control_ids[row[has_control]]
        is_text[taken] = False
        places += has_control
    ids[is_text] = text_ids
    return ids


def hidden_of(ids: np.ndarray, scores: np.ndarray, starts: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """The `hidden_numbers` of a block, of a method that hides segments; all arrays are [seq_length], `starts` of bool."""
    threshold = settings.method.hidden_threshold
    assert threshold is not None
    # a control token that also speaks for later segments is not hidden from them
    visible = [*settings.opening, *(settings.control_ids if settings.method.placement in BEYOND_SEGMENT else ())]
    return hidden_numbers(scores, starts, np.isin(ids, visible), threshold)


def document_positions(starts: np.ndarray, seq_length: int) -> np.ndarray:
    """int64 [seq_length]: position of each token of a block in its document, or in the part of it that is in the block.

    They restart at 0 with each document, by which transformers recognises that tokens of different documents must not
    see one another.

    Args:
        starts: int [documents], ascending, where documents begin, counted from the start of the block. What is outside of
            the block is ignored; a document that continues from the block before starts with this one.
    """
    inside = starts[(starts > 0) & (starts < seq_length)]
    last_start = np.zeros(seq_length, np.int64)
    last_start[inside] = inside
    return np.arange(seq_length) - np.maximum.accumulate(last_start)


def marked(positions: np.ndarray, seq_length: int) -> np.ndarray:
    """bool [seq_length], True at these positions."""
    marks = np.zeros(seq_length, bool)
    marks[positions] = True
    return marks


def opens_document(owners: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """bool [segments]: whether each is the first of its document that has tokens.

    Args:
        owners: int [segments], number of the document of each, ascending.
    """
    with_tokens = np.flatnonzero(lengths)
    is_first = np.diff(owners[with_tokens], prepend=-1) > 0
    opens = np.zeros(len(lengths), bool)
    opens[with_tokens[is_first]] = True
    return opens
