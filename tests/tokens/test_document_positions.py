"""Positions restart with each document of a block, in stored and in streamed blocks, for any way to open documents."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokenizer_classes import CLASSES
from tests.tokens.packed import CONTROL, conditional, corpus_for, filtering, settings_for

from phf.config import DatasetConfig
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.feedback.document_filter import AvgScoreAtMost
from phf.tokens.building import build_store
from phf.tokens.layout import document_positions
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.tokenizer import prepare_tokenizer
from phf.tokens.views import Blocks


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Documents from nothing to several blocks."""
    rng = np.random.default_rng(0)
    documents = []
    for i in range(60):
        texts = [f"x{i} = {k}\n" * int(rng.integers(0, 3)) for k in range(rng.choice([0, 1, 3, 40]))]
        documents.append(AnnotatedDocument(f"d{i}", texts, [float(rng.choice([0, 0.25, 1])) for _ in texts]))
    folder = tmp_path_factory.mktemp("corpus")
    write_shard(folder / "data" / "shard-00000.parquet", documents)
    return folder


VIEWS = {
    "mle": {},
    "conditional, dropped, filtered": {"method": conditional(0.1, 0.4, document_filter=AvgScoreAtMost(0.3))},
    "filtering": {"method": filtering(0.3), "eval_fraction": 0.3},
    "skipped": {"skip_tokens": 300},
}


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([], [0, 1, 2, 3, 4]),
        ([0], [0, 1, 2, 3, 4]),
        ([-3, 2, 3], [0, 1, 0, 0, 1]),
        ([4, 5, 9], [0, 1, 2, 3, 0]),
        ([-7], [0, 1, 2, 3, 4]),  # the rest of a document counts from the start of the block
    ],
)
def test_positions_by_hand(starts, expected):
    assert document_positions(np.array(starts, np.int64), 5).tolist() == expected


@pytest.mark.parametrize("seq_length", [2, 7, 24])
@pytest.mark.parametrize("has_bos", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_positions_restart_where_the_start_of_a_document_is(view, has_bos, seq_length, source):
    tokenizer = prepare_tokenizer(CLASSES["LlamaTokenizer"](), CONTROL) if has_bos else tiny_tokenizer(CONTROL)
    start = (tokenizer.bos_token_id,) if has_bos else ()
    settings = settings_for(tokenizer, seq_length=seq_length, document_start=start, **VIEWS[view])
    settings = replace(settings, attention="document", max_altered_documents=1.0)
    corpus = corpus_for(tokenizer, source / "data")
    blocks = Blocks(build_store(corpus, source / "stores", processes=1).folder, settings)
    # no text contains these ids: where a BOS follows, the EOS in front of it ends the document before
    opening = tokenizer.bos_token_id if has_bos else tokenizer.eos_token_id
    items = [blocks[i] for i in range(len(blocks))]
    for i, item in enumerate(items):
        places = np.flatnonzero(item["input_ids"] == opening)
        since = np.searchsorted(places, np.arange(seq_length), side="right") - 1
        expected = np.arange(seq_length) - np.where(since >= 0, places[since] if len(places) else 0, 0)
        assert item["position_ids"].tolist() == expected.tolist()
        assert item["position_ids"].dtype == np.int64
        assert blocks.document_starts(i).tolist() == places.tolist()
    assert sum((item["position_ids"] == 0).sum() for item in items) > len(items)
    streamed = list(StreamingBlocks(corpus, settings, window=1, processes=0).epoch(0))
    for item, other in zip(items, streamed, strict=True):
        for key in ("input_ids", "position_ids"):
            np.testing.assert_array_equal(item[key], other[key])


def test_packed_blocks_have_no_positions(source):
    assert DatasetConfig(datasets=["x"]).attention == "packed"  # the paper's way
    tokenizer = tiny_tokenizer(CONTROL)
    corpus = corpus_for(tokenizer, source / "data")
    blocks = Blocks(build_store(corpus, source / "stores", processes=1).folder, settings_for(tokenizer, seq_length=8))
    assert blocks[0].keys() == {"input_ids", "token_scores", "documents"}
    assert next(iter(StreamingBlocks(corpus, blocks.settings, processes=0))).keys() == blocks[0].keys()
