"""The longest span that a sample has in common with a segment, against a search by hand."""

import numpy as np
import pytest
from tests.audit.planted import store_for, write_corpus
from tests.tiny import tiny_tokenizer

from phf.audit import common
from phf.audit.common import CommonSpan, longest_common
from phf.audit.overlap import NGRAM, Overlap
from phf.audit.places import Places


def ids(*numbers):
    return np.array(numbers, np.int64)


def slowly(sample, other):
    """The number of tokens, by comparing everything."""
    pairs = ((start, place) for start in range(len(sample)) for place in range(len(other)))
    lengths = [0]
    for start, place in pairs:
        length = 0
        while (
            start + length < len(sample)
            and place + length < len(other)
            and sample[start + length] == other[place + length]
        ):
            length += 1
        lengths.append(length)
    return max(lengths)


def test_the_longest_common_span_by_hand():
    assert longest_common(ids(9, 1, 2, 3, 8), ids(1, 2, 7, 1, 2, 3)) == CommonSpan(3, 1, 3)
    assert longest_common(ids(1, 2, 5, 3, 4), ids(3, 4, 0, 1, 2)) == CommonSpan(2, 0, 3), (
        "of two, the first of the sample"
    )
    assert longest_common(ids(1, 2), ids(3)).num_tokens == 0
    assert longest_common(ids(1), ids()).num_tokens == 0


@pytest.mark.parametrize("pairs", [1, 2**21])
def test_the_longest_span_in_any_segment_is_found(tmp_path, monkeypatch, pairs):
    """Of few letters, so that n-grams occur many times, in samples and segments, and across the ends of segments."""
    monkeypatch.setattr(common, "PAIRS", pairs)
    draw = np.random.default_rng(3)
    word = lambda length: "".join(draw.choice(list("abc"), length))  # noqa: E731
    documents = [([word(draw.integers(1, 30)) for _ in range(4)], [0.0] * 4) for _ in range(12)]
    tokenizer = tiny_tokenizer(vocab_size=257)
    store = store_for(write_corpus(tmp_path / "data", documents), tokenizer, tmp_path / "stores")
    texts = [*(word(25) for _ in range(8)), "zzzz", "ab", documents[3][0][1] + "z"]
    letter = {text: int(store.ids[documents[0][0][0].index(text)]) for text in "abc"} | {"z": 256}
    samples = [ids(*(letter[one] for one in text)) for text in texts]
    places = Places(store)
    longest = Overlap(samples, store, places).find(3).longest
    segments = [text for own, _ in documents for text in own]
    for text, sample, span in zip(texts, samples, longest, strict=True):
        expected = max(slowly(text, segment) for segment in segments)
        if expected < NGRAM:
            assert span is None
            continue
        assert span.num_tokens == expected
        end = span.position + span.num_tokens
        np.testing.assert_array_equal(store.ids[span.position : end], sample[span.start : span.start + expected])
        first, last = places.of_tokens(ids(span.position, end - 1)).numbers
        assert first == last, "within one segment"
