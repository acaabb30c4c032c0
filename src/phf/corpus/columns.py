"""Python values as Arrow columns, through numpy buffers.

`pyarrow.array` checks whether its argument belongs to pandas, for which it imports pandas: half of a worker's start-up
time.
"""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from phf.errors import CorpusError, ScorerError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES = 2**31 - 1
"""Maximum bytes of text in a column: Arrow's string offsets are int32."""


def strings(values: Sequence[str]) -> "pa.StringArray":
    """Text without lone surrogates as a column. Raises `CorpusError` for more than 2 GiB of it."""
    return _strings([values], np.array([len(values)]))


def string_lists(values: Sequence[Sequence[str]], contents: Sequence[bytes] | None = None) -> "pa.ListArray":
    """Lists of text without lone surrogates as a column. Raises `CorpusError` for more than 2 GiB of it.

    `contents`: the UTF-8 of each list, joined; None: it is encoded here.
    """
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    return lists(_strings(values, lengths, contents), lengths)


def line_lists(values: Sequence[Sequence[str]], contents: Sequence[bytes]) -> "pa.ListArray":
    r"""`string_lists` of the lines of texts, each of which ends after a "\n", or elsewhere; no list has an empty one.

    Where they end is mostly read off the UTF-8 of the texts, `contents`, without looking at each of millions of lines.
    """
    import pyarrow as pa

    counts = np.fromiter(map(len, values), np.int64, len(values))
    content = b"".join(contents)
    num_bytes = np.fromiter(map(len, contents), np.int64, len(contents))
    ends_of_texts = np.cumsum(num_bytes)
    is_end = np.frombuffer(content, np.uint8) == ord("\n")
    is_end[ends_of_texts[num_bytes > 0] - 1] = True
    ends = np.flatnonzero(is_end) + 1
    # every one of these is the end of a line, so as many as there are lines are all of them
    if len(content) > MAX_BYTES or not np.array_equal(np.searchsorted(ends, ends_of_texts, "right"), np.cumsum(counts)):
        return string_lists(values, contents)
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends
    return lists(pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(content)), counts)


def _strings(
    values: Sequence[Sequence[str]], counts: np.ndarray, contents: Sequence[bytes] | None = None
) -> "pa.StringArray":
    """The elements of all lists as one column, of UTF-8 that is encoded one list at a time."""
    import pyarrow as pa

    if contents is None:
        contents = ["".join(group).encode() for group in values]
    num_bytes = sum(map(len, contents))
    if num_bytes > MAX_BYTES:
        raise CorpusError(
            f"A shard would contain {num_bytes:,} bytes of text; split documents of gigabytes into smaller ones."
        )
    count = int(counts.sum())
    lengths = np.fromiter(map(len, chain.from_iterable(values)), np.int64, count)
    starts = np.concatenate([[0], np.cumsum(counts)])
    for number, (group, content) in enumerate(zip(values, contents, strict=True)):
        if not content.isascii():
            encoded = (len(value) if value.isascii() else len(value.encode()) for value in group)
            lengths[starts[number] : starts[number + 1]] = np.fromiter(encoded, np.int64, len(group))
    offsets = _offsets(lengths)
    assert np.array_equal(np.diff(offsets[starts]), [len(content) for content in contents]), "segments are not the text"
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(b"".join(contents)))


def floats(values: Sequence[float | None]) -> "pa.FloatArray":
    """Finite numbers as float32, None as null."""
    import pyarrow as pa

    with np.errstate(over="ignore"):
        numbers = np.array(values, np.float32)
    if np.isinf(numbers).any():
        raise ScorerError(
            "A scorer returned a number beyond the range of float32 (3.4e38), in which scores are stored."
        )
    is_number = ~np.isnan(numbers)
    valid = None if is_number.all() else pa.py_buffer(np.packbits(is_number, bitorder="little"))
    return pa.Array.from_buffers(pa.float32(), len(values), [valid, pa.py_buffer(numbers)])


def integers(values: Sequence[int] | np.ndarray) -> "pa.Int32Array":
    """Numbers as int32."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(np.array(values, np.int32))])


def lists(elements: "pa.Array", lengths: Sequence[int] | np.ndarray) -> "pa.ListArray":
    """Consecutive elements as lists of the given lengths, which add up to all of them."""
    import pyarrow as pa

    offsets = _offsets(np.array(lengths, np.int64))
    assert offsets[-1] == len(elements)
    return pa.Array.from_buffers(
        pa.list_(elements.type), len(lengths), [None, pa.py_buffer(offsets)], children=[elements]
    )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
