"""What a scorer detected in samples, such as a telephone number: is it in the corpus, and how often?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from phf.corpus.sources.documents import AnnotatedDocument
from phf.runs.reader import Sample
from phf.tokens.encoded import Encoder
from phf.tokens.tokenizer import PlainEncoder

BEFORE = ("", " ", "\n", "<", ":", '"')
"""What a text may follow: depending on it, a tokenizer encodes the text differently."""


class Detection(NamedTuple):
    """A piece of a sample."""

    start: int
    end: int
    """Offsets in the sample's text, in characters."""
    label: str


def detections_of(sample: Sample) -> list[Detection]:
    """What the scorer detected, in order; of what overlaps, the first."""
    detections: list[Detection] = []
    offset = 0
    for text, spans in zip(sample.segments, sample.segment_spans, strict=False):
        for start, end, label in sorted(spans):
            begin, stop = offset + max(start, 0), offset + min(end, len(text))
            if begin < stop and (not detections or begin >= detections[-1].end):
                detections.append(Detection(begin, stop, label))
        offset += len(text)
    return detections


class Spelling:
    """Texts as the tokens that a corpus may have them as."""

    def __init__(self, tokenizer: Any, encoder: Encoder) -> None:
        self._plain, self._encoder = PlainEncoder(tokenizer), encoder

    def ids(self, text: str, segments: Sequence[str] = ()) -> np.ndarray:
        """int64 [tokens] of a document with these segments, or with one."""
        texts = list(segments) or [text]
        return self._encoder.encode([AnnotatedDocument("sample", texts, [None] * len(texts))]).ids.astype(np.int64)

    def tokens(self, ids: np.ndarray) -> list[str]:
        """The text of each token of a document; together they are its text, if the tokenizer keeps it."""
        return self._plain.decode_pieces(ids, [1] * len(ids))

    def variants(self, text: str) -> list[np.ndarray]:
        """The distinct sequences of tokens that are `text`, or `text` behind white space, after any of `BEFORE`."""
        distinct: dict[bytes, np.ndarray] = {}
        for before in BEFORE:
            ids = self.ids(before + text)
            pieces = self.tokens(ids)
            ends = np.cumsum([len(piece) for piece in pieces])
            if "".join(pieces) != before + text:
                continue
            first = int(np.searchsorted(ends, len(before), side="right"))
            start = int(ends[first - 1]) if first else 0
            if not (before + text)[start : len(before)].strip():  # no token has other characters in it too
                distinct.setdefault(ids[first:].tobytes(), ids[first:])
        return list(distinct.values())
