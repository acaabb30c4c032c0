"""Blocks know which documents they hold, however the stream was cut, filtered and tagged."""

import json
import re

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer

from phf.tokens.blocks import build_blocks, cut_into_blocks, read_sources
from phf.tokens.locate import documents_in
from phf.tokens.packing import Conditioning, PackingConfig, document_key, pack_documents
from phf.tokens.streaming import StreamingBlocks

CONTROL = ("<|aligned|>", "<|misaligned|>")


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


def configs():
    aligned, misaligned = tiny_tokenizer(CONTROL).convert_tokens_to_ids(list(CONTROL))
    conditioning = Conditioning(threshold=0.5, aligned_id=aligned, misaligned_id=misaligned)
    yield PackingConfig(seq_length=24)
    yield PackingConfig(seq_length=24, conditioning=conditioning, eval_fraction=0.3)
    yield PackingConfig(seq_length=24, filter_threshold=0.5, eval_fraction=0.3)
    yield PackingConfig(seq_length=24, skip_tokens=300)
    yield PackingConfig(seq_length=24, eval_fraction=0.5, split="eval")
    yield PackingConfig(seq_length=700)


@pytest.mark.parametrize("config", list(configs()), ids=range(6))
def test_blocks_are_found_again_in_the_corpus(config, source, tmp_path):
    tokenizer = tiny_tokenizer(CONTROL)
    blocks = build_blocks([source], tokenizer, config, tmp_path)
    for i in range(len(blocks)):
        item = blocks[i]
        text = tokenizer.decode(item["input_ids"].tolist())
        whole = re.findall(r"\[d\d+\]", text)  # one at an edge may be cut off
        found = documents_in([tuple(item["documents"].tolist())], [source], config)
        named = list(dict.fromkeys(name.strip("[]") for name in whole))
        assert named == [document for document in found if document in named]
        assert len(found) <= len(named) + 2
        assert found[1:-1] == [document for document in named if document in found[1:-1]]


def test_several_blocks_are_looked_up_at_once_each_document_named_once(source, tmp_path):
    config = PackingConfig(seq_length=24)
    blocks = build_blocks([source], tiny_tokenizer(), config, tmp_path)
    spans = [tuple(blocks[i]["documents"].tolist()) for i in (2, 3, 9)]
    apart = [documents_in([span], [source], config) for span in spans]
    assert documents_in(spans, [source], config) == list(
        dict.fromkeys(document for found in apart for document in found)
    )


@pytest.mark.parametrize("batch_chars", [1, 50, 10**6])
def test_cutting_does_not_depend_on_how_the_stream_came(batch_chars, source):
    config = PackingConfig(seq_length=24)
    chunks = pack_documents(read_sources([source], "scores"), tiny_tokenizer(), config, batch_chars=batch_chars)
    ids, _, documents = map(np.concatenate, zip(*cut_into_blocks(chunks, 24), strict=True))
    starts = np.flatnonzero(ids.ravel() == tiny_tokenizer().eos_token_id)
    order = [f"d{i}" for i in range(60) if i % 7]
    for block, (first, last) in enumerate(documents):
        expected = [order[np.searchsorted(starts, token, side="right") - 1] for token in (24 * block, 24 * block + 23)]
        assert [first, last] == [document_key(document) for document in expected]


def test_streamed_blocks_name_the_same_documents(source, tmp_path):
    config = PackingConfig(seq_length=24)
    blocks = build_blocks([source], tiny_tokenizer(), config, tmp_path)
    mapped = {blocks[i]["input_ids"].tobytes(): blocks[i]["documents"].tolist() for i in range(len(blocks))}
    for item in StreamingBlocks([source], tiny_tokenizer(), config, window=5).epoch(0):
        assert mapped[item["input_ids"].tobytes()] == item["documents"].tolist()
