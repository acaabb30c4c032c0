"""Blocks read back: segments, what they were given, and what is left out, worked out by hand and for every kind of encoding."""

import math

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for
from tests.tokens.test_text_comes_back import sentencepiece
from transformers import PreTrainedTokenizerFast

from phf.corpus.dataset import write_shard
from phf.corpus.segmenting.segment import segmenter
from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens.building import build_store
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.tokenizer import prepare_tokenizer
from phf.tokens.views import Blocks
from phf.training.inspection.reading import BlockReader

DOCUMENTS = {
    f"d{i}": [f"def f{i}(x):\n", "    return x\n", "\n", "\n", f"y = {i}  # é{i}\n", "  \n", "z=1\n"][: 3 + i % 5]
    for i in range(40)
}


def score_of(text):
    """A different one for nearly every segment."""
    return sum(map(ord, text.strip())) % 97 / 97


def with_dummy_space():
    """A tokenizer that puts a space in front of a text and takes it away when it decodes, also from a piece of one."""
    backend = sentencepiece("bpe", dummy=True, fallback=True)
    return prepare_tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>"), CONTROL)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    documents = [
        AnnotatedDocument(name, texts, [score_of(text) for text in texts]) for name, texts in DOCUMENTS.items()
    ]
    write_shard(folder / "shard-00000.parquet", documents)
    return folder


def test_a_block_by_hand():
    tokenizer = tiny_tokenizer(CONTROL)
    eos, good, bad = tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(CONTROL))
    one, two, three = ([*map(ord, text)] for text in ("ab", "c", "de"))
    # byte-level ids of letters, looked up one by one
    ids_of = {letter: tokenizer(letter).input_ids[0] for letter in "abcde"}
    one, two, three = ([ids_of[chr(c)] for c in text] for text in (one, two, three))
    pieces = [three, [eos, good, *one], [bad, *two], [eos, *three], one]
    scores = [0.5, 0.25, 0.75, math.nan, 0.0]
    ids = np.concatenate(pieces)
    packed = np.repeat(np.float32(scores), [len(piece) for piece in pieces])
    starts = np.zeros(len(ids), bool)
    starts[[2, 6, 8, 11]] = True
    values = -np.arange(len(ids), dtype=np.float32)
    block = BlockReader(tokenizer, [eos], [good, bad]).read(ids, packed, starts, values)
    assert (
        block.num_cut == 2
    )  # the first three tokens are the end of a segment, the last two may be the beginning of one
    first, second = block.documents
    assert [first.is_whole, second.is_whole] == [True, False]
    assert [(s.text, s.score, s.tag) for s in first.segments] == [("ab", 0.25, 0), ("c", 0.75, 1)]
    assert [s.value for s in first.segments] == [-(1 + 2 + 3 + 4) / 4, -(5 + 6) / 2]  # one position before each token
    (unscored,) = second.segments
    assert (unscored.text, unscored.tag) == ("de", -1)
    assert math.isnan(unscored.score)
    whole = BlockReader(tokenizer, [eos], [good, bad]).read(ids[2:], packed[2:], starts[2:])
    assert whole.num_cut == 1  # a document begins with the first segment
    assert [d.segments[0].text for d in whole.documents] == ["ab", "de"]
    assert math.isnan(whole.documents[0].segments[0].value)


@pytest.mark.parametrize("tokenization", ["segments", "document"])
@pytest.mark.parametrize("make", [lambda: tiny_tokenizer(CONTROL), with_dummy_space], ids=["bytes", "dummy space"])
def test_what_is_read_back_has_the_scores_and_control_tokens_of_its_text(make, tokenization, source, tmp_path):
    tokenizer = make()
    settings = settings_for(tokenizer, method=conditional(0.4, 0.2), seq_length=64)
    corpus = corpus_for(tokenizer, source, tokenization)
    blocks = Blocks(build_store(corpus, tmp_path).folder, settings)
    cut = segmenter("lines") if tokenization == "document" else None
    reader = BlockReader(tokenizer, settings.opening, settings.control_ids, cut)
    num_read, num_whole, num_tagged = 0, 0, 0
    texts = {"".join(segments) for segments in DOCUMENTS.values()}
    for i in range(len(blocks)):
        ids, scores = blocks.block(i)
        for document in reader.read(ids, scores, blocks.segment_starts(i)).documents:
            text = "".join(segment.text for segment in document.segments)
            assert any(text in whole for whole in texts)
            if document.is_whole:
                num_whole += 1
                assert text in texts
            for segment in document.segments:
                if segment.is_compared:
                    num_read += 1
                    assert segment.score == pytest.approx(score_of(segment.text), rel=1e-6), (i, segment)
                    if segment.tag >= 0:
                        num_tagged += 1
                        assert segment.tag == int(score_of(segment.text) > 0.4)
    assert num_whole > 3
    assert 0.6 * num_read < num_tagged < num_read  # of which a fifth is dropped


def test_segments_begin_where_the_store_says_and_a_stream_agrees(source, tmp_path):
    tokenizer = tiny_tokenizer(CONTROL)
    settings = settings_for(tokenizer, method=conditional(0.4, 0.2), seq_length=24)
    corpus = corpus_for(tokenizer, source, piece_chars=50)
    blocks = Blocks(build_store(corpus, tmp_path).folder, settings)
    starts = {}
    for i in range(len(blocks)):
        tokens = blocks.tokens(i)
        before = blocks.tokens(i - 1).segments[-1] if i else -1
        expected = np.diff(tokens.segments, prepend=before) != 0
        assert blocks.segment_starts(i).tolist() == expected.tolist()
        starts[tokens.ids.tobytes() + tokens.scores.tobytes()] = expected.tolist()
    stream = StreamingBlocks(corpus, settings, window=5, processes=0)
    assert "segment_starts" not in next(iter(stream))
    stream.marks_segments = True
    items = list(stream.epoch(0))
    assert len(items) == len(blocks)
    for item in items:
        key = item["input_ids"].tobytes() + item["token_scores"].tobytes()
        assert item["segment_starts"].tolist() == starts[key]
