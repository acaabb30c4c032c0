"""Blocks know which documents they hold, however the stream was cut, filtered and tagged."""

import json
import re

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, filtering, settings_for

from phf.corpus.dataset import in_batches
from phf.tokens.building import build_store
from phf.tokens.cutting import cut_into_blocks, pack
from phf.tokens.encoded import document_key, encode_documents
from phf.tokens.locate import documents_in
from phf.tokens.pieces import read_sources
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Documents that name themselves in each segment; short ones, long ones, empty ones, bad ones."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    with path.open("w") as file:
        for i in range(60):
            texts = [f"[d{i}]" * (1 + i % 4 * 3), f"[d{i}]"] if i % 7 else [""]
            scores = [0.9 if i % 5 == 0 else 0.1] * len(texts)
            file.write(json.dumps({"id": f"d{i}", "texts": texts, "scores": scores, "avg_score": scores[0]}) + "\n")
    return str(path)


VIEWS = [
    {"seq_length": 24},
    {"seq_length": 24, "method": conditional(0.5), "eval_fraction": 0.3},
    {"seq_length": 24, "method": filtering(0.5), "eval_fraction": 0.3},
    {"seq_length": 24, "skip_tokens": 300},
    {"seq_length": 24, "eval_fraction": 0.5, "split": "eval"},
    {"seq_length": 700},
]


def stored(source, folder, tokenizer=None, **settings):
    tokenizer = tokenizer or tiny_tokenizer(CONTROL)
    store = build_store(corpus_for(tokenizer, source), folder, processes=1)
    return Blocks(store.folder, settings_for(tokenizer, **settings))


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("settings", VIEWS, ids=range(6))
def test_blocks_are_found_again_in_the_corpus(settings, is_streamed, source, tmp_path):
    tokenizer = tiny_tokenizer(CONTROL)
    blocks = stored(source, tmp_path, tokenizer, **settings)
    lookup = StreamingBlocks(corpus_for(tokenizer, source), blocks.settings) if is_streamed else blocks
    for i in range(len(blocks)):
        item = blocks[i]
        text = tokenizer.decode(item["input_ids"].tolist())
        whole = re.findall(r"\[d\d+\]", text)  # one at an edge may be cut off
        located = documents_in([tuple(item["documents"].tolist())], lookup)
        named = list(dict.fromkeys(name.strip("[]") for name in whole))
        assert named == [document for document in located if document in named]
        assert len(located) <= len(named) + 2
        assert located[1:-1] == [document for document in named if document in located[1:-1]]


def test_several_blocks_are_looked_up_at_once_each_document_named_once(source, tmp_path):
    blocks = stored(source, tmp_path, seq_length=24)
    spans = [tuple(blocks[i]["documents"].tolist()) for i in (2, 3, 9)]
    apart = [documents_in([span], blocks) for span in spans]
    assert documents_in(spans, blocks) == list(dict.fromkeys(document for located in apart for document in located))


@pytest.mark.parametrize("batch_chars", [1, 50, 10**6])
def test_cutting_does_not_depend_on_how_the_stream_came(batch_chars, source):
    tokenizer = tiny_tokenizer()
    batches = in_batches(read_sources([source], "scores"), batch_chars)
    chunks = pack((encode_documents(batch, tokenizer) for batch in batches), settings_for(tokenizer))
    ids, _, documents, *_ = zip(*cut_into_blocks(chunks, 24), strict=True)
    ids, documents = np.concatenate(ids), np.concatenate(documents)
    starts = np.flatnonzero(ids.ravel() == tokenizer.eos_token_id)
    order = [f"d{i}" for i in range(60) if i % 7]
    for block, (first, last) in enumerate(documents):
        expected = [order[np.searchsorted(starts, token, side="right") - 1] for token in (24 * block, 24 * block + 23)]
        assert [first, last] == [document_key(document) for document in expected]
