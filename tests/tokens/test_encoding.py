"""Encoding segments by their distinct words gives what the tokenizer gives for each segment by itself."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, normalizers, pre_tokenizers

from phf.corpus.segmenting.segment import lines
from phf.tokens.encoding import SegmentEncoder
from phf.tokens.tokenizer import PlainEncoder, prepare_tokenizer, train_tokenizer, words_like_gpt2

SOURCE = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(json.__file__).parent.glob("*.py")))
CONTRACTIONS = "we're I've I'm we'll I'd it's isn't 'Tis 'LL\n"


@pytest.fixture
def tokenizer():
    return prepare_tokenizer(train_tokenizer([SOURCE, CONTRACTIONS * 100], 700), ("<|aligned|>", "<|misaligned|>"))


def assert_as_by_themselves(tokenizer, segments: list[str], max_cached_tokens: int = 2**21):
    plain = PlainEncoder(tokenizer)
    assert plain.splits_like_gpt2
    encoder = SegmentEncoder(plain, max_cached_tokens)
    for documents in ([segments[:100], [], segments[100:]], [segments]):  # the second time from the cache
        ids, lengths = encoder.encode(documents)
        expected_ids, expected_lengths = plain.encode(segments)
        np.testing.assert_array_equal(ids, expected_ids)
        np.testing.assert_array_equal(lengths, expected_lengths)


def test_words_as_in_gpt2():
    assert words_like_gpt2("  it's x=12 \n") == [" ", " it", "'s", " x", "=", "12", " \n"]
    assert words_like_gpt2("naïve words") == ["naïve words"]


@pytest.mark.parametrize("max_cached_tokens", [0, 2**21])
def test_real_source(tokenizer, max_cached_tokens):
    assert_as_by_themselves(tokenizer, [CONTRACTIONS, *lines(SOURCE)], max_cached_tokens)


def test_every_short_text_of_every_kind_of_character(tokenizer):
    kinds = "ast1_' \n\t\x0b\x1c\x7f"
    assert_as_by_themselves(tokenizer, ["".join(c) for n in range(5) for c in itertools.product(kinds, repeat=n)])


def test_text_that_is_not_ascii_or_spells_special_tokens(tokenizer):
    hostile = ["é's\u00a0x", "\u2028 \u0661 2", "<|endoftext|>", " <|aligned|>\n", "x\u0301'll", "你好 \U0001f600", ""]
    assert_as_by_themselves(tokenizer, hostile)


@pytest.mark.parametrize(
    "change",
    [
        lambda backend: setattr(backend, "normalizer", normalizers.Lowercase()),
        lambda backend: setattr(backend, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
        lambda backend: setattr(backend, "pre_tokenizer", pre_tokenizers.Whitespace()),
        lambda backend: setattr(backend.model, "dropout", 0.5),
        lambda backend: backend.add_tokens([AddedToken("import json", special=False)]),
    ],
)
def test_other_tokenizers_encode_whole_segments(tokenizer, change):
    change(tokenizer.backend_tokenizer)
    assert not PlainEncoder(tokenizer).splits_like_gpt2
