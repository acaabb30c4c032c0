"""A block of token ids read back: the segments of its documents, as text, with what the model was given for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from phf.feedback.control_tokens import NO_TOKEN
from phf.tokens.tokenizer import PlainEncoder


@dataclass(frozen=True)
class SeenSegment:
    """A whole segment as it is in a block."""

    text: str
    score: float
    """Mean of its tokens' packed scores, which are all the same; NaN where unscored."""
    tag: int
    """Which control token precedes it; -1 for none."""
    value: float
    """Mean of the values that were predicted for its tokens; NaN without a value head."""
    is_compared: bool = True
    """False for white space that has no tokens of its own."""
    more_tags: tuple[int, ...] = ()
    """The control tokens after the first, of several preferences."""


@dataclass(frozen=True)
class SeenDocument:
    """The whole segments of a document, or of the part of it that is in a block."""

    segments: list[SeenSegment]
    is_whole: bool


@dataclass(frozen=True)
class SeenBlock:
    """What was read back from a block."""

    documents: list[SeenDocument]
    num_cut: int
    """Segments at its start and end that are left out, since only a part of them may be in it."""


class BlockReader:
    """Reads blocks back.

    Args:
        tokenizer: of the run.
        opening: ids in front of each document.
        control_ids: of the method's control tokens, in their order.
        cut: cuts the text of a document into segments. For documents that are encoded as a whole, whose tokens need not end
            where segments do; None where each segment was encoded by itself.
    """

    def __init__(
        self,
        tokenizer: Any,
        opening: Sequence[int],
        control_ids: Sequence[int],
        cut: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._encoder = PlainEncoder(tokenizer)
        self._opening = list(opening)
        self._tags = {token: tag for tag, token in enumerate(control_ids)}
        self._cut = cut

    def read(
        self, ids: np.ndarray, scores: np.ndarray, segment_starts: np.ndarray, values: np.ndarray | None = None
    ) -> SeenBlock:
        """What is in a block; all arrays are [seq_length].

        Args:
            ids, scores: as the model and the objective got them.
            segment_starts: True where a segment begins, with what precedes its text.
            values: of the value head; that at a position is for the next token.
        """
        bounds = np.unique([0, *np.flatnonzero(segment_starts), len(ids)]).tolist()
        is_text = ~np.isin(ids, [*self._opening, *self._tags])
        spans = list(pairwise(bounds))
        opens = [ids[start] == self._opening[0] for start, _ in spans]
        firsts = [i for i, is_first in enumerate(opens) if is_first or i == 0]
        documents = []
        for first, stop in pairwise([*firsts, len(spans)]):
            of_document = spans[first:stop]
            lengths = [int(is_text[start:end].sum()) for start, end in of_document]
            start, end = of_document[0][0], of_document[-1][1]
            texts = self._encoder.decode_pieces(ids[start:end][is_text[start:end]], lengths)
            segments = [
                self._segment(text, slice(*span), ids, scores, values)
                for text, span in zip(texts, of_document, strict=True)
            ]
            is_begun, is_ended = bool(opens[first]), stop < len(spans)
            if self._cut is not None:
                segments = _cut_again(segments, self._cut)
            segments = segments[0 if is_begun else 1 : None if is_ended else -1]
            documents.append(SeenDocument(segments, is_begun and is_ended))
        num_cut = 1 if len(spans) == 1 else 1 + (not opens[0])
        return SeenBlock([document for document in documents if document.segments], num_cut)

    def _segment(
        self, text: str, span: slice, ids: np.ndarray, scores: np.ndarray, values: np.ndarray | None
    ) -> SeenSegment:
        tag, *more = [self._tags[token] for token in ids[span].tolist() if token in self._tags] or [NO_TOKEN]
        value = np.nan
        if values is not None and span.stop > 1:
            value = float(values[max(span.start, 1) - 1 : span.stop - 1].mean(dtype=np.float64))
        return SeenSegment(text, float(scores[span].mean(dtype=np.float64)), tag, value, more_tags=tuple(more))


def _cut_again(pieces: list[SeenSegment], cut: Callable[[str], list[str]]) -> list[SeenSegment]:
    """The segments of a document whose tokens are cut into `pieces`, each of which has the white space in front of it.

    A segment has the scores of the piece with its first character that is not white space. One of nothing but white space
    is in the piece of the next one, and is not compared.
    """
    text = "".join(piece.text for piece in pieces)
    ends = list(accumulate(len(piece.text) for piece in pieces))
    segments, start = [], 0
    for segment in cut(text):
        ink = start + len(segment) - len(segment.lstrip())
        piece = pieces[min(int(np.searchsorted(ends, ink, "right")), len(pieces) - 1)]
        segments.append(replace(piece, text=segment, is_compared=bool(segment.strip())))
        start += len(segment)
    return segments
