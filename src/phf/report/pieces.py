"""A text in pieces, each with what a scorer found there."""

from collections.abc import Sequence
from itertools import pairwise


def pieces_of(text: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """(piece, labels of the spans that cover it) in order; together the pieces are the text.

    `spans`: (start, end, label), which may overlap, and reach beyond a text that was cut.
    """
    inside = [(max(start, 0), min(end, len(text)), label) for start, end, label in spans]
    ends = sorted({0, len(text), *(end for start, stop, _ in inside if start < stop for end in (start, stop))})
    pieces = []
    for start, end in pairwise(ends):
        labels = dict.fromkeys(label for begin, stop, label in inside if begin <= start and end <= stop)
        pieces.append((text[start:end], ", ".join(labels)))
    return pieces
