"""Blocks: cut once, cached under everything that went in, read in a seeded order."""

import numpy as np
import pytest

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError, OutputError
from phf.tokens import blocks as blocks_module
from phf.tokens.blocks import build_blocks
from phf.tokens.order import OrderedBlocks, TrainingOrder
from phf.tokens.packing import PackingConfig
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return prepare_tokenizer(train_tokenizer(["a = 1\nb = 2\n"], 260), None)


@pytest.fixture
def source(tmp_path):
    documents = [AnnotatedDocument(str(i), [f"a = {i}\n", f"b = {i}\n"], [0.0, i / 100]) for i in range(50)]
    write_shard(tmp_path / "data" / "shard-00000.parquet", documents)
    return str(tmp_path / "data")


CONFIG = PackingConfig(seq_length=16)


def test_blocks_hold_the_packed_stream_and_drop_only_the_last_tail(source, tokenizer, tmp_path):
    blocks = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    stream = np.concatenate([blocks.block(i)[0] for i in range(len(blocks))])
    assert len(stream) == blocks.counts.num_tokens - blocks.meta["num_tokens_dropped"]
    assert 0 <= blocks.meta["num_tokens_dropped"] < 16
    text = tokenizer.decode([int(i) for i in stream if i])
    assert "".join(f"a = {i}\nb = {i}\n" for i in range(50)).startswith(text)


def test_second_build_reads_the_cache_and_a_change_does_not(source, tokenizer, tmp_path, monkeypatch):
    first = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    monkeypatch.setattr(blocks_module, "read_sources", None)  # reading the corpus again would raise
    assert build_blocks([source], tokenizer, CONFIG, tmp_path / "cache").folder == first.folder
    with pytest.raises(TypeError):
        build_blocks([source], tokenizer, PackingConfig(seq_length=8), tmp_path / "cache")


def test_half_written_cache_is_never_read(source, tokenizer, tmp_path):
    first = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    whole = (first.folder / "ids.bin").read_bytes()
    (first.folder / "ids.bin").write_bytes(whole[:-2])
    again = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    assert (again.folder / "ids.bin").read_bytes() == whole


def test_corpus_smaller_than_a_block_says_so(source, tokenizer, tmp_path):
    with pytest.raises(CorpusError, match="does not fill one block of 100000"):
        build_blocks([source], tokenizer, PackingConfig(seq_length=100_000), tmp_path / "cache")


def test_unwritable_cache_says_so(source, tokenizer, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        build_blocks([source], tokenizer, CONFIG, tmp_path / "file" / "cache")


def test_streaming_yields_the_same_blocks(source, tokenizer, tmp_path):
    cached = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    stream = StreamingBlocks([source], tokenizer, CONFIG, window=4)
    once = [item["input_ids"].tolist() for item in stream.epoch(0)]
    assert once == [item["input_ids"].tolist() for item in stream.epoch(0)]
    assert sorted(once) == sorted(cached.block(i)[0].tolist() for i in range(len(cached)))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 17, 100, 1000])
def test_each_epoch_is_a_permutation_of_its_own(size):
    order = TrainingOrder(size, 3 * size, seed=1)
    epochs = [order[epoch * size : (epoch + 1) * size] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(size))
    if size >= 10:
        assert epochs[0] != epochs[1]
        assert epochs[0] != TrainingOrder(size, size, seed=2)[:]


def test_resuming_is_a_lookup(source, tokenizer, tmp_path):
    blocks = build_blocks([source], tokenizer, CONFIG, tmp_path / "cache")
    whole = OrderedBlocks(blocks, 100, seed=3)
    again = OrderedBlocks(blocks, 100, seed=3)
    np.testing.assert_array_equal(whole[73]["input_ids"], again[73]["input_ids"])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 1000, b"[]", b'{"num_blocks": 1e999}', b'{"num_blocks": "1"}']
)
def test_blocks_whose_description_is_damaged_are_not_complete(content, tmp_path):
    (tmp_path / "meta.json").write_bytes(content)
    assert not blocks_module._is_complete(tmp_path)
