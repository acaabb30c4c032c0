"""Streamed blocks are those of the store, each once an epoch, whoever encodes them."""

import tempfile

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError, OutputError
from phf.feedback.document_filter import AvgScoreAtMost
from phf.tokens import pieces
from phf.tokens.building import build_store
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks

METHOD = conditional(0.1, 0.3, document_filter=AvgScoreAtMost(0.4))
SETTINGS = {"method": METHOD, "seq_length": 16, "eval_fraction": 0.2, "skip_tokens": 60, "part": (0.1, 0.95)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    documents = [AnnotatedDocument(f"d{i}", [f"a = {i}\n", f"b = {i}\n"], [0.0, i / 50]) for i in range(60)]
    for shard in range(3):
        write_shard(folder / f"shard-{shard:05d}.parquet", documents[20 * shard : 20 * shard + 20])
    return folder


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    tokenizer = tiny_tokenizer(CONTROL)
    store = build_store(corpus_for(tokenizer, source), tmp_path_factory.mktemp("stores"))
    blocks = Blocks(store.folder, settings_for(tokenizer, **SETTINGS))
    return sorted(signature(blocks[i]) for i in range(len(blocks)))


def signature(item):
    return item["input_ids"].tolist(), np.nan_to_num(item["token_scores"], nan=-1).tolist(), item["documents"].tolist()


def stream(source, processes, piece_chars=50, **settings):
    tokenizer = tiny_tokenizer(CONTROL)
    corpus = corpus_for(tokenizer, source, piece_chars=piece_chars)
    return StreamingBlocks(corpus, settings_for(tokenizer, **{**SETTINGS, **settings}), window=5, processes=processes)


def test_an_epoch_has_every_block_of_the_store_once_in_an_order_of_its_own(source, expected):
    blocks = stream(source, 0)
    first, second = ([signature(item) for item in blocks.epoch(number)] for number in (0, 1))
    assert sorted(first) == sorted(second) == expected
    assert first != second
    assert first == [signature(item) for item in blocks.epoch(0)]
    assert first == [signature(item) for item in stream(source, 0, piece_chars=10**6).epoch(0)]


@pytest.mark.slow
@pytest.mark.parametrize("shared_bytes", [0, 2**24], ids=["divided parts", "whole parts"])
def test_processes_that_encode_ahead_change_nothing(shared_bytes, source, expected, monkeypatch):
    monkeypatch.setattr(pieces, "SHARED_BYTES", shared_bytes)
    once = [signature(item) for item in stream(source, 0).epoch(0)]
    for processes in (1, 2):
        assert [signature(item) for item in stream(source, processes).epoch(0)] == once
    assert sorted(once) == expected


def test_a_corpus_that_fills_no_block_says_so(source):
    with pytest.raises(CorpusError, match="does not fill one block of 100000"):
        next(iter(stream(source, 0, seq_length=100_000)))


def test_a_temporary_folder_that_cannot_be_made_is_reported(source, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"needs a temporary folder.*set TMPDIR"):
        next(iter(stream(source, 1)))


@pytest.mark.slow
def test_errors_come_from_the_processes_that_encode(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"texts": ["x"], "scores": [1, 2]}\n')
    with pytest.raises(CorpusError, match=r"a.jsonl, line 1: 1 text but 2 scores"):
        next(iter(stream(tmp_path / "a.jsonl", 1)))


@pytest.mark.parametrize("piece_chars", [20, 10**6])
def test_a_bad_line_is_named_by_its_number_in_the_file(piece_chars, tmp_path):
    good = '{"texts": ["a = 1"], "scores": [1]}\n\n'
    (tmp_path / "a.jsonl").write_text(good * 5 + '{"texts": ["x"], "scores": [1, 2]}\n' + good)
    with pytest.raises(CorpusError, match=r"a.jsonl, line 11: 1 text but 2 scores"):
        list(stream(tmp_path / "a.jsonl", 0, piece_chars, method=None, eval_fraction=0.0, skip_tokens=0).epoch(0))


def test_more_altered_documents_than_allowed_are_refused(tmp_path):
    from tests.tokenizer_classes import CLASSES

    from phf.tokens.tokenizer import prepare_tokenizer

    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, BERT"](), None)
    (tmp_path / "a.jsonl").write_text('{"texts": ["The cat ran home"], "scores": [1]}\n' * 5)
    blocks = StreamingBlocks(corpus_for(tokenizer, tmp_path / "a.jsonl"), settings_for(tokenizer, seq_length=4))
    with pytest.raises(ConfigError, match="changes the text of 5 of 5 documents"):
        list(blocks.epoch(0))
