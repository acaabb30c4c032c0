"""The two ways from the segments of documents to token ids: each segment separately, or the document as a whole."""

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import numpy as np

from phf.tokens.tokenizer import PlainEncoder, words_like_gpt2


class DocumentsEncoder(Protocol):
    """Turns documents, each a list of segments, into tokens, each of which belongs to one segment."""

    def encode(self, documents: Sequence[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """-> (ids of all segments of all documents in order, number of tokens of each segment)."""


class SegmentEncoder:
    """Encodes each segment separately; together their tokens decode to the document.

    Text repeats a lot, so a distinct piece of it is encoded once as long as it stays in the cache, which is emptied when
    it holds more than `max_cached_tokens`. Pieces are words, where the tokenizer is known to work word by word, or else
    whole segments.
    """

    def __init__(self, encoder: PlainEncoder, max_cached_tokens: int = 2**21) -> None:
        self._encoder = encoder
        self._pieces = words_like_gpt2 if encoder.splits_like_gpt2 else _whole
        self._max_cached_tokens = max_cached_tokens
        self._empty_cache()

    def encode(self, documents: Sequence[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        if len(self._ids) > self._max_cached_tokens:
            self._empty_cache()
        if self._encoder.has_dummy_space:
            documents = [self._opened(segments) for segments in documents]
        segments = list(chain.from_iterable(documents))
        # Lines of code repeat; whole segments are looked up before they are cut into words.
        places = {segment: place for place, segment in enumerate(dict.fromkeys(segments))}
        if len(places) == len(segments):
            return self._encode(segments)
        ids, lengths = self._encode(list(places))
        rows = np.fromiter(map(places.__getitem__, segments), np.int64, len(segments))
        starts = np.cumsum(lengths) - lengths
        return ids[ranges(starts[rows], lengths[rows])], lengths[rows]

    def _encode(self, segments: list[str]) -> tuple[np.ndarray, np.ndarray]:
        pieces_of_segments = [self._pieces(segment) for segment in segments]
        pieces = list(chain.from_iterable(pieces_of_segments))
        self._remember([piece for piece in dict.fromkeys(pieces) if piece not in self._rows])
        rows = np.fromiter(map(self._rows.__getitem__, pieces), np.int64, len(pieces))
        lengths = self._lengths[rows]
        ids = self._ids[ranges(self._starts[rows], lengths)]
        num_pieces = np.fromiter(map(len, pieces_of_segments), np.int64, len(pieces_of_segments))
        ends = np.concatenate([[0], np.cumsum(lengths)])[np.cumsum(num_pieces)]
        return ids, np.diff(ends, prepend=0)

    def _opened(self, segments: list[str]) -> list[str]:
        """The segments with the tokenizer's dummy space in front of the first one that has text."""
        first = next((index for index, segment in enumerate(segments) if segment), len(segments))
        return [*segments[:first], *map(self._encoder.opening, segments[first : first + 1]), *segments[first + 1 :]]

    def _empty_cache(self) -> None:
        self._rows: dict[str, int] = {}
        self._ids = np.empty(0, self._encoder.dtype)
        self._starts = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int64)

    def _remember(self, pieces: list[str]) -> None:
        ids, lengths = self._encoder.encode_inside(pieces)
        starts = len(self._ids) + np.cumsum(lengths) - lengths
        self._rows.update(zip(pieces, range(len(self._rows), len(self._rows) + len(pieces)), strict=True))
        self._ids = np.concatenate([self._ids, ids])
        self._starts = np.concatenate([self._starts, starts])
        self._lengths = np.concatenate([self._lengths, lengths])


def _whole(text: str) -> list[str]:
    return [text]


class WholeDocumentEncoder:
    """Encodes each document at once, as prompts are encoded later.

    A token belongs to the segment of its first character, where the white space in front of a segment counts as the
    segment's own: it follows the control token. A segment of nothing but white space may thus be left without tokens.
    """

    def __init__(self, encoder: PlainEncoder) -> None:
        self._encoder = encoder

    def encode(self, documents: Sequence[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        texts = ["".join(segments) for segments in documents]
        ids, num_tokens, token_starts = self._encoder.encode_with_starts(texts)
        # One axis for the characters of all documents, with a gap so that no end of one is the start of the next.
        widths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
        offsets = np.cumsum(widths) - widths
        starts = [offset + _segment_starts(segments) for offset, segments in zip(offsets, documents, strict=True)]
        segment_starts = np.concatenate([np.empty(0, np.int64), *starts])
        # Tokens of one character share its position; none may fall behind its predecessor.
        positions = np.maximum.accumulate(token_starts + np.repeat(offsets, num_tokens))
        owners = np.searchsorted(segment_starts, positions, side="right") - 1
        return ids, np.bincount(owners, minlength=len(segment_starts))


def _segment_starts(segments: list[str]) -> np.ndarray:
    """Position of each segment's first character in the document, or of the white space in front of it."""
    starts = np.zeros(len(segments), np.int64)
    end = end_of_ink = 0
    for index, segment in enumerate(segments):
        starts[index] = end_of_ink
        if ink := segment.rstrip():
            end_of_ink = end + len(ink)
        end += len(segment)
    return starts


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The integers starts[0], ..., starts[0] + lengths[0] - 1, starts[1], ... in one array."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
